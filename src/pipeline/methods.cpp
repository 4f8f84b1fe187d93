// Names, sentences and papers of what a chain does: for sidecars and methods.txt.
#include <algorithm>

#include <nlohmann/json.hpp>

#include "chain.hpp"
#include "qsmpi/core/version.hpp"
#include "qsmpi/io/file.hpp"
#include "qsmpi/mask/expression.hpp"
#include "registries.hpp"

namespace qsmpi::pipeline {
namespace {

namespace fs = std::filesystem;

constexpr const char* description_name = "dataset_description.json";
constexpr std::string_view file_scheme = "file://";

/// What a stage noted of the scan; null if it did not.
nlohmann::json noted(const Chain& chain, const char* stage, const char* key)
{
    return chain.notes.value(stage, nlohmann::json::object()).value(key, nlohmann::json());
}

/// Echoes without signal do not count.
std::size_t n_echoes_used(const Chain& chain)
{
    const nlohmann::json echoes = noted(chain, "phase", echoes_note);
    return echoes.is_array() ? echoes.size() : chain.echo_times_s.size();
}

bool sees_magnitude(const Chain& chain)
{
    return chain.magnitude_rss || (!chain.spec.acquisition.echoes.empty() && has_magnitude(chain.spec.acquisition));
}

/// "nlls", ..., or "off".
std::string r2star_fit(const Chain& chain)
{
    if (chain.spec.acquisition.echoes.size() > 1 && n_echoes_used(chain) < 2) return "off";
    const nlohmann::json fit = noted(chain, "r2star", "fit");
    return fit.is_string() ? fit.get<std::string>() : r2star_method(chain.spec.acquisition, chain.spec.options);
}

void add_phase_methods(std::vector<Method>& methods, const Chain& chain)
{
    const ChainOptions& o = chain.spec.options;
    if (noted(chain, "phase", "bipolar_corrected") == true)
        methods.push_back({"phase", bipolar_method,
                           "The phase by which odd and even echoes of the bipolar readout differed was removed.",
                           "Eckstein K. Phase combination and applications in MRI. Thesis, TU Wien, 2021. "
                           "doi:10.34726/hss.2021.43447"});
    const nlohmann::json offset = noted(chain, "phase", "offset_method"), echoes = noted(chain, "phase", "offset_echoes");
    if (offset == mcpc3ds_method || offset == aspire_method) {
        const std::string from = str("The coil phase at echo time 0 was estimated from echoes ", echoes.at(0), " and ", echoes.at(1)),
                          smoothed = str("smoothed with a Gaussian of ", o.offset_sigma_mm, " mm, and removed");
        methods.push_back({"phase", offset.get<std::string>(),
                           offset == aspire_method ? str(from, " without unwrapping (ASPIRE), ", smoothed, ".")
                                                   : str(from, ", ", smoothed, " (MCPC-3D-S)."),
                           "Eckstein K et al. Computationally efficient combination of multi-channel phase data from "
                           "multi-echo acquisitions (ASPIRE). Magn Reson Med 79:2996-3006, 2018. doi:10.1002/mrm.26963"});
    }
    if (o.unwrapping != "laplacian")
        methods.push_back({"unwrap", "ROMEO",
                           n_echoes_used(chain) < 2 ? "Phase was unwrapped with ROMEO."
                           : o.unwrapping == "romeo"
                               ? "Phase was unwrapped with ROMEO: one echo in space, the others from it in time."
                               : "Every echo was unwrapped in space with ROMEO, and the echoes were aligned as a whole.",
                           "Dymerska B et al. Phase unwrapping with a rapid opensource minimum spanning tree algorithm "
                           "(ROMEO). Magn Reson Med 85:2294-2308, 2021. doi:10.1002/mrm.28563"});
    else
        methods.push_back({"unwrap", "Laplacian unwrapping", "Phase was unwrapped with the Laplacian method.",
                           "Schofield MA, Zhu Y. Fast phase unwrapping algorithm for interferometric applications. "
                           "Opt Lett 28:1194-1196, 2003. doi:10.1364/OL.28.001194"});
}

void add_field_methods(std::vector<Method>& methods, const Chain& chain)
{
    const std::string& option = chain.spec.options.field_map;
    const bool each_by_itself = chain.maps.size() > 1, single = n_echoes_used(chain) < 2;
    if (option == "linear" && !each_by_itself && !single) {
        methods.push_back({"field", "linear fit with intercept",
                           "The field is the slope of a linear fit of phase over echo time with intercept, weighted by the "
                           "squared magnitude.", ""});
        return;
    }
    methods.push_back({"field", "weighted average",
                       each_by_itself ? "Every echo gave a field map of its own."
                       : single       ? "The field is the phase over the echo time."
                                      : "The field is the mean of the echoes' fields with the weights of least variance, squared "
                                        "magnitude times squared echo time.",
                       ""});
    if (option == "nonlinear" && !each_by_itself && !single)
        methods.push_back({"field", nonlinear_method,
                           "It was refined by a nonlinear least-squares fit of the complex signal of all echoes.",
                           "Liu T et al. Nonlinear formulation of the magnetic field to source relationship for robust "
                           "quantitative susceptibility mapping. Magn Reson Med 69:467-476, 2013. doi:10.1002/mrm.24272"});
}

void add_r2star_methods(std::vector<Method>& methods, const Chain& chain)
{
    const std::string fit = r2star_fit(chain);
    if (fit == "nlls")
        methods.push_back({"r2star", "nlls",
                           "R2* was fitted by weighted least squares of the squared magnitude with the moments of Rician noise.",
                           "Gudbjartsson H, Patz S. The Rician distribution of noisy MRI data. Magn Reson Med 34:910-914, "
                           "1995. doi:10.1002/mrm.1910340618"});
    if (fit == "arlo")
        methods.push_back({"r2star", "arlo", "R2* was computed with ARLO.",
                           "Pei M et al. Algorithm for fast monoexponential fitting based on auto-regression on linear "
                           "operations (ARLO) of data. Magn Reson Med 73:843-850, 2015. doi:10.1002/mrm.25137"});
    if (fit == "loglinear")
        methods.push_back({"r2star", "loglinear",
                           "R2* is the slope of a line through the logarithm of the magnitude without its noise floor, weighted by "
                           "its square.", ""});
}

void add_swi_methods(std::vector<Method>& methods, const Chain& chain)
{
    const std::string method = swi_method(chain.spec.acquisition, chain.spec.options);
    if (method == "clear")
        methods.push_back({"swi", "CLEAR-SWI", "Susceptibility-weighted images were made with CLEAR-SWI.",
                           "Eckstein K et al. Improved susceptibility weighted imaging at ultra-high field using bipolar "
                           "multi-echo acquisition and optimized image processing: CLEAR-SWI. NeuroImage 237:118175, 2021. "
                           "doi:10.1016/j.neuroimage.2021.118175"});
    if (method == "classic")
        methods.push_back({"swi", "classic SWI",
                           "Susceptibility-weighted images were made with a homodyne filter and a linear phase mask of fourth "
                           "power.",
                           "Haacke EM et al. Susceptibility weighted imaging (SWI). Magn Reson Med 52:612-618, 2004. "
                           "doi:10.1002/mrm.20198"});
}

void add_reference_methods(std::vector<Method>& methods, const Chain& chain)
{
    const nlohmann::json word = noted(chain, "chi", reference_note);
    const std::string reference = word.is_string() ? word.get<std::string>() : chain.spec.options.reference;
    if (reference == "none") return;
    if (reference == "mean")
        methods.push_back({"chi", "mean reference", "Susceptibility is given relative to its mean in the mask [ppm].", ""});
    else if (reference == "csf")
        methods.push_back({"chi", "cerebrospinal fluid reference",
                           "Susceptibility is given relative to its mean in the cerebrospinal fluid of the ventricles, found by "
                           "R2* below 5 1/s [ppm].",
                           "Liu Z et al. MEDI+0: Morphology enabled dipole inversion with automatic uniform cerebrospinal "
                           "fluid zero reference for quantitative susceptibility mapping. Magn Reson Med 79:2795-2803, 2018. "
                           "doi:10.1002/mrm.26946"});
    else
        methods.push_back({"chi", "region reference", "Susceptibility is given relative to its mean in a given region [ppm].", ""});
}

/// What the sources of masks are, in words, of `chain`'s scan. `subject` holds the voxels. Sources without an entry need none.
Method source_method(const mask::Source& source, const std::string& subject, const Chain& chain)
{
    const std::string reliable = str(subject, " holds the voxels with high ROMEO phase quality",
                                     sees_magnitude(chain) ? " and magnitude" : "",
                                     ", opened, closed and filled");
    const std::string number = source.parameter != 0.0 ? str(source.parameter) : std::string{};
    const std::string times = number.empty() ? "" : str(", times ", number);
    switch (source.kind) {
        case mask::SourceKind::automatic:
            return {"mask", "phase quality and magnitude mask",
                    str(reliable, r2star_fit(chain) == "off" ? "." : ", without regions of fast R2* decay at its surface."), ""};
        case mask::SourceKind::compact:
            return {"mask", "compact phase quality and magnitude mask", reliable + ".", ""};
        case mask::SourceKind::quality:
            return {"mask", "phase quality",
                    str(subject, " holds the voxels with a ROMEO phase quality above ", number.empty() ? "Otsu's threshold" : number, "."),
                    ""};
        case mask::SourceKind::magnitude:
        case mask::SourceKind::robust:
            return {"mask", "robust magnitude threshold",
                    str(subject, " holds the voxels with a magnitude above a threshold from quantiles of noise and tissue",
                        times, "."), ""};
        case mask::SourceKind::otsu:
            return {"mask", "Otsu's threshold", str(subject, " holds the voxels with a magnitude above Otsu's threshold", times, "."),
                    "Otsu N. A threshold selection method from gray-level histograms. IEEE Trans Syst Man Cybern 9:62-66, 1979. "
                    "doi:10.1109/TSMC.1979.4310076"};
        case mask::SourceKind::gaussian:
            return {"mask", "Gaussian mixture threshold",
                    str(subject, " holds the voxels with a magnitude that belongs to the brighter of two normal distributions, "
                        "fitted to the histogram by expectation maximisation."),
                    "Dempster AP, Laird NM, Rubin DB. Maximum likelihood from incomplete data via the EM algorithm. J R Stat Soc B "
                    "39:1-38, 1977. doi:10.1111/j.2517-6161.1977.tb01600.x"};
        case mask::SourceKind::corrected:
            return {"mask", "sensitivity-corrected magnitude threshold",
                    str(subject, " holds the voxels with a magnitude above a threshold from quantiles of noise and tissue", times,
                        ", after division by the coil sensitivity."),
                    "Eckstein K et al. Improved susceptibility weighted imaging at ultra-high field using bipolar multi-echo "
                    "acquisition and optimized image processing: CLEAR-SWI. NeuroImage 237:118175, 2021. "
                    "doi:10.1016/j.neuroimage.2021.118175"};
        case mask::SourceKind::bet:
            return {"mask", "brain surface",
                    str(subject, " holds the voxels inside a surface that grew to the edge of the brain, with a fractional intensity of ",
                        number.empty() ? "0.5" : number, "."),
                    "Smith SM. Fast robust automated brain extraction. Hum Brain Mapp 17:143-155, 2002. doi:10.1002/hbm.10062"};
        case mask::SourceKind::file: return {"mask", "given mask", "Masks were given.", ""};
        case mask::SourceKind::signal:
        case mask::SourceKind::all: break;
    }
    return {};
}

void add_mask_methods(std::vector<Method>& methods, const Chain& chain)
{
    const ChainOptions& o = chain.spec.options;
    const mask::Node expression = mask::parse_expression(o.mask);
    const std::string text = mask::to_text(expression);
    const bool is_source = expression.kind == mask::NodeKind::source;
    if (text == "magnitude")
        methods.push_back({"mask", "magnitude mask", "The mask holds the bright voxels of the magnitude, without holes.", ""});
    else if (text == "quality")
        methods.push_back({"mask", "phase quality mask",
                           "The mask holds the voxels with high ROMEO phase quality, opened, closed and filled.", ""});
    else if (is_source && (text == "auto" || text == "compact" || expression.source.kind == mask::SourceKind::file))
        methods.push_back(source_method(expression.source, "The mask", chain));
    else {
        methods.push_back({"mask", "mask expression",
                           str("The mask is: ", text, " (& and, | or, - and not, ! not; then the steps in their order)."), ""});
        mask::for_each_source(expression, [&](const mask::Source& source) {
            // By its word alone, but where the number is a part of what it means.
            const bool threshold = source.kind == mask::SourceKind::magnitude || source.kind == mask::SourceKind::robust;
            const mask::Source word{.kind = source.kind};
            Method method = source_method(source, str("'", mask::to_text(threshold ? source : word), "'"), chain);
            const auto same = [&](const Method& m) { return m.stage == "mask" && m.sentence == method.sentence; };
            if (!method.name.empty() && std::none_of(methods.begin(), methods.end(), same)) methods.push_back(std::move(method));
        });
    }
    if (o.mask_erosion_mm > 0.0 && noted(chain, "mask", eroded_voxels_note) != 0)
        methods.push_back({"mask", "erosion", str("The mask was eroded by ", o.mask_erosion_mm, " mm."), ""});
}

void add_null_space_method(std::vector<Method>& methods, const Chain& chain)
{
    bool by_r2star = false, by_modes = false;
    for (const auto& report : noted(chain, "chi", null_space_note)) {
        if (!(report.at("share").get<double>() > 0.0)) continue;
        (report.at("by") == by_r2star_word ? by_r2star : by_modes) = true;
    }
    if (!by_r2star && !by_modes) return;
    methods.push_back({"chi", null_space_method,
                       str("Smooth waves of susceptibility, which the total field cannot show, were chosen so that voxels of ",
                           by_r2star ? "like R2*" : "one mode of the map",
                           by_r2star && by_modes ? ", in some echoes those of one mode of the map," : "", " are most alike."),
                       "Kee Y et al. Quantitative susceptibility mapping (QSM) algorithms: mathematical rationale and computational "
                       "implementations. IEEE Trans Biomed Eng 64:2531-2545, 2017. doi:10.1109/TBME.2017.2749298"});
}

}  // namespace

std::vector<Method> methods_of(const Chain& chain)
{
    std::vector<Method> methods;
    add_phase_methods(methods, chain);
    add_field_methods(methods, chain);
    add_r2star_methods(methods, chain);
    add_mask_methods(methods, chain);
    add_registry_methods(methods, chain.spec.options, chain.spec.options.inversion_edges && sees_magnitude(chain));
    add_null_space_method(methods, chain);
    if (noted(chain, "chi", "two_passes") == true)
        methods.push_back({"chi", two_pass_method,
                           "Two maps, one of the reliable part of the mask and one of the filled mask, were put together "
                           "against streaks of strong sources.",
                           "Stewart AW et al. QSMxT: Robust masking and artifact reduction for quantitative susceptibility "
                           "mapping. Magn Reson Med 87:1289-1300, 2022. doi:10.1002/mrm.29048"});
    if (chain.maps.size() > 1)
        methods.push_back({"chi", "weighted mean of echoes",
                           "The maps of the echoes were averaged with weights of squared magnitude times squared echo time.", ""});
    add_reference_methods(methods, chain);
    add_swi_methods(methods, chain);
    return methods;
}

fs::path described_raw_data(const fs::path& output_dir)
{
    std::error_code absent;
    const fs::path file = output_dir / description_name;
    if (!fs::exists(file, absent)) return {};
    const auto description = nlohmann::json::parse(io::read_file(file), nullptr, false);
    const auto raw = nlohmann::json::json_pointer("/DatasetLinks/raw");
    if (!description.is_object() || !description.contains(raw) || !description[raw].is_string()) return {};
    const std::string uri = description[raw];
    return uri.starts_with(file_scheme) ? fs::path(uri.substr(file_scheme.size())) : fs::path();
}

void write_dataset_description(const fs::path& output_dir, const fs::path& bids_dir)
{
    nlohmann::ordered_json description{{"Name", "Quantitative susceptibility maps"},
                                       {"BIDSVersion", "1.9.0"},
                                       {"DatasetType", "derivative"}};
    description["GeneratedBy"] = nlohmann::ordered_json::array(
        {{{"Name", "qsmpi"}, {"Version", version()}, {"Description", str("commit ", commit())}}});
    if (!bids_dir.empty()) {
        const std::string uri = str(file_scheme, fs::absolute(bids_dir).lexically_normal().generic_string());
        description["DatasetLinks"] = {{"raw", uri}};
    }
    io::write_file_atomic(output_dir / description_name, description.dump(2) + "\n");
}

void write_methods(const fs::path& output_dir, const std::vector<fs::path>& map_sidecars)
{
    struct Group {
        nlohmann::json sentences;
        std::vector<std::string> scans{};
    };
    std::vector<Group> groups;
    for (const fs::path& file : map_sidecars) {
        std::error_code missing;
        if (!fs::exists(file, missing)) continue;  // a map that someone else put there
        const auto sidecar = nlohmann::json::parse(io::read_file(file), nullptr, false);
        if (!sidecar.is_object() || !sidecar.contains(sentences_key)) continue;  // of another version
        const nlohmann::json& sentences = sidecar.at(sentences_key);
        auto group = std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return g.sentences == sentences; });
        if (group == groups.end()) group = groups.insert(groups.end(), {sentences});
        const std::string name = file.filename().string();
        group->scans.push_back(name.substr(0, name.rfind('_')));
    }
    if (groups.empty()) {  // what an older version wrote is not of these maps
        std::error_code absent;
        fs::remove(output_dir / "methods.txt", absent);
        return;
    }
    std::string text = str("Susceptibility maps were computed with qsmpi ", version(), ".\n");
    std::vector<std::string> papers;
    for (const Group& group : groups) {
        text += "\n";
        if (groups.size() > 1) {
            constexpr std::size_t most = 5;
            text += str("Of ", group.scans.size(), group.scans.size() == 1 ? " scan (" : " scans (");
            for (std::size_t i = 0; i < std::min(most, group.scans.size()); ++i) text += (i == 0 ? "" : ", ") + group.scans[i];
            text += group.scans.size() > most ? ", ...):\n" : "):\n";
        }
        for (const auto& sentence : group.sentences) {
            text += sentence.at("Sentence").get<std::string>();
            if (const std::string paper = sentence.value("Reference", ""); !paper.empty()) {
                const auto at = std::find(papers.begin(), papers.end(), paper);
                text += str(" [", at - papers.begin() + 1, "]");
                if (at == papers.end()) papers.push_back(paper);
            }
            text += "\n";
        }
    }
    text += "\nParameters and warnings of each scan are in the sidecar of its map.\n\nReferences\n";
    for (std::size_t i = 0; i < papers.size(); ++i) text += str("[", i + 1, "] ", papers[i], "\n");
    io::write_file_atomic(output_dir / "methods.txt", text);
}

}  // namespace qsmpi::pipeline
