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

void add_phase_methods(std::vector<Method>& methods, const ChainOptions& o)
{
    if (o.bipolar != "off")
        methods.push_back({"phase", bipolar_method,
                           o.bipolar == "on" ? "The phase by which odd and even echoes of a bipolar readout differ was removed."
                                             : "Where odd and even echoes of three or more differed in phase (bipolar readout), "
                                               "the difference was removed.",
                           "Eckstein K. Phase combination and applications in MRI. Thesis, TU Wien, 2021. "
                           "doi:10.34726/hss.2021.43447"});
    const char* const eckstein = "Eckstein K et al. Computationally efficient combination of multi-channel phase data from "
                           "multi-echo acquisitions (ASPIRE). Magn Reson Med 79:2996-3006, 2018. doi:10.1002/mrm.26963";
    if (o.offset_removal && o.offset_method != "aspire")
        methods.push_back({"phase", mcpc3ds_method,
                           str("The coil phase at echo time 0 was estimated from two echoes, smoothed with a Gaussian of ",
                               o.offset_sigma_mm, " mm, and removed (MCPC-3D-S)."),
                           eckstein});
    if (o.offset_removal && o.offset_method != "mcpc3ds")
        methods.push_back({"phase", aspire_method,
                           o.offset_method == "aspire"
                               ? str("The coil phase at echo time 0 was estimated from two echoes without unwrapping (ASPIRE), "
                                     "smoothed with a Gaussian of ",
                                     o.offset_sigma_mm, " mm, and removed.")
                               : "Where an echo time is a multiple of the spacing, nothing had to be unwrapped for it (ASPIRE).",
                           o.offset_method == "aspire" ? eckstein : ""});
    if (o.unwrapping != "laplacian")
        methods.push_back({"unwrap", "ROMEO",
                           o.unwrapping == "romeo"
                               ? "Phase was unwrapped with ROMEO: one echo in space, the others from it in time."
                               : "Every echo was unwrapped in space with ROMEO, and the echoes were aligned as a whole.",
                           "Dymerska B et al. Phase unwrapping with a rapid opensource minimum spanning tree algorithm "
                           "(ROMEO). Magn Reson Med 85:2294-2308, 2021. doi:10.1002/mrm.28563"});
    else
        methods.push_back({"unwrap", "Laplacian unwrapping", "Phase was unwrapped with the Laplacian method.",
                           "Schofield MA, Zhu Y. Fast phase unwrapping algorithm for interferometric applications. "
                           "Opt Lett 28:1194-1196, 2003. doi:10.1364/OL.28.001194"});
}

void add_field_methods(std::vector<Method>& methods, const ChainOptions& o)
{
    if (o.field_map == "linear" && !o.per_echo) {
        methods.push_back({"field", "linear fit with intercept",
                           "The field is the slope of a linear fit of phase over echo time with intercept, weighted by the "
                           "squared magnitude.", ""});
        return;
    }
    methods.push_back({"field", "weighted average",
                       o.per_echo ? "Every echo gave a field map of its own."
                                  : "The field is the mean of the echoes' fields with the weights of least variance, squared "
                                    "magnitude times squared echo time.",
                       ""});
    if (o.field_map == "nonlinear" && !o.per_echo)
        methods.push_back({"field", nonlinear_method,
                           "It was refined by a nonlinear least-squares fit of the complex signal of all echoes.",
                           "Liu T et al. Nonlinear formulation of the magnetic field to source relationship for robust "
                           "quantitative susceptibility mapping. Magn Reson Med 69:467-476, 2013. doi:10.1002/mrm.24272"});
}

void add_r2star_methods(std::vector<Method>& methods, const ChainOptions& o)
{
    if (o.r2star == "off") return;
    if (o.r2star == "nlls")
        methods.push_back({"r2star", "nlls",
                           "R2* was fitted to three or more echoes by weighted least squares of the squared magnitude with the "
                           "moments of Rician noise.",
                           "Gudbjartsson H, Patz S. The Rician distribution of noisy MRI data. Magn Reson Med 34:910-914, "
                           "1995. doi:10.1002/mrm.1910340618"});
    if (o.r2star == "arlo")
        methods.push_back({"r2star", "arlo", "R2* of three or more equally spaced echoes was computed with ARLO.",
                           "Pei M et al. Algorithm for fast monoexponential fitting based on auto-regression on linear "
                           "operations (ARLO) of data. Magn Reson Med 73:843-850, 2015. doi:10.1002/mrm.25137"});
    methods.push_back({"r2star", "loglinear",
                       str("R2* ", o.r2star == "loglinear" ? "" : "of two echoes ",
                           "is the slope of a line through the logarithm of the magnitude, weighted by its square."), ""});
}

void add_swi_methods(std::vector<Method>& methods, const ChainOptions& o)
{
    if (o.swi == "clear")
        methods.push_back({"swi", "CLEAR-SWI", "Susceptibility-weighted images were made with CLEAR-SWI.",
                           "Eckstein K et al. Improved susceptibility weighted imaging at ultra-high field using bipolar "
                           "multi-echo acquisition and optimized image processing: CLEAR-SWI. NeuroImage 237:118175, 2021. "
                           "doi:10.1016/j.neuroimage.2021.118175"});
    if (o.swi == "classic")
        methods.push_back({"swi", "classic SWI",
                           "Susceptibility-weighted images were made with a homodyne filter and a linear phase mask of fourth "
                           "power.",
                           "Haacke EM et al. Susceptibility weighted imaging (SWI). Magn Reson Med 52:612-618, 2004. "
                           "doi:10.1002/mrm.20198"});
}

void add_reference_methods(std::vector<Method>& methods, const ChainOptions& o)
{
    if (o.reference == "none") return;
    if (o.reference == "mean")
        methods.push_back({"chi", "mean reference", "Susceptibility is given relative to its mean in the mask [ppm].", ""});
    else if (o.reference == "csf")
        methods.push_back({"chi", "cerebrospinal fluid reference",
                           "Susceptibility is given relative to its mean in the cerebrospinal fluid of the ventricles, found by "
                           "R2* below 5 1/s [ppm].",
                           "Liu Z et al. MEDI+0: Morphology enabled dipole inversion with automatic uniform cerebrospinal "
                           "fluid zero reference for quantitative susceptibility mapping. Magn Reson Med 79:2795-2803, 2018. "
                           "doi:10.1002/mrm.26946"});
    else
        methods.push_back({"chi", "region reference", "Susceptibility is given relative to its mean in a given region [ppm].", ""});
}

/// What the sources of masks are, in words. Sources without an entry need none.
Method source_method(const mask::Source& source)
{
    const std::string number = source.parameter != 0.0 ? str(source.parameter) : std::string{};
    const std::string times = number.empty() ? "" : str(", times ", number);
    switch (source.kind) {
        case mask::SourceKind::automatic:
            return {"mask", "phase quality and magnitude mask",
                    "'auto' holds the voxels with high ROMEO phase quality and magnitude, opened, closed and filled, without regions "
                    "of fast R2* decay at its surface.", ""};
        case mask::SourceKind::compact:
            return {"mask", "compact phase quality and magnitude mask",
                    "'compact' holds the voxels with high ROMEO phase quality and magnitude, opened, closed and filled.", ""};
        case mask::SourceKind::quality:
            return {"mask", "phase quality",
                    str("'quality' holds the voxels with a ROMEO phase quality above ", number.empty() ? "Otsu's threshold" : number, "."),
                    ""};
        case mask::SourceKind::magnitude:
        case mask::SourceKind::robust:
            return {"mask", "robust magnitude threshold",
                    str("'", mask::to_text(source), "' holds the voxels with a magnitude above a threshold from quantiles of noise and tissue",
                        times, "."), ""};
        case mask::SourceKind::otsu:
            return {"mask", "Otsu's threshold", str("'otsu' holds the voxels with a magnitude above Otsu's threshold", times, "."),
                    "Otsu N. A threshold selection method from gray-level histograms. IEEE Trans Syst Man Cybern 9:62-66, 1979. "
                    "doi:10.1109/TSMC.1979.4310076"};
        case mask::SourceKind::gaussian:
            return {"mask", "Gaussian mixture threshold",
                    "'gaussian' holds the voxels with a magnitude that belongs to the brighter of two normal distributions, "
                    "fitted to the histogram by expectation maximisation.",
                    "Dempster AP, Laird NM, Rubin DB. Maximum likelihood from incomplete data via the EM algorithm. J R Stat Soc B "
                    "39:1-38, 1977. doi:10.1111/j.2517-6161.1977.tb01600.x"};
        case mask::SourceKind::corrected:
            return {"mask", "sensitivity-corrected magnitude threshold",
                    str("'corrected' holds the voxels with a magnitude above a threshold from quantiles of noise and tissue", times,
                        ", after division by the coil sensitivity."),
                    "Eckstein K et al. Improved susceptibility weighted imaging at ultra-high field using bipolar multi-echo "
                    "acquisition and optimized image processing: CLEAR-SWI. NeuroImage 237:118175, 2021. "
                    "doi:10.1016/j.neuroimage.2021.118175"};
        case mask::SourceKind::bet:
            return {"mask", "brain surface",
                    str("'bet' holds the voxels inside a surface that grew to the edge of the brain, with a fractional intensity of ",
                        number.empty() ? "0.5" : number, "."),
                    "Smith SM. Fast robust automated brain extraction. Hum Brain Mapp 17:143-155, 2002. doi:10.1002/hbm.10062"};
        case mask::SourceKind::file: return {"mask", "given mask", "Masks were given.", ""};
        case mask::SourceKind::signal:
        case mask::SourceKind::all: break;
    }
    return {};
}

void add_mask_methods(std::vector<Method>& methods, const ChainOptions& o)
{
    const mask::Node expression = mask::parse_expression(o.mask);
    const std::string text = mask::to_text(expression);
    if (text == "magnitude")
        methods.push_back({"mask", "magnitude mask", "The mask holds the bright voxels of the magnitude, without holes.", ""});
    else if (text == "quality")
        methods.push_back({"mask", "phase quality mask",
                           "The mask holds the voxels with high ROMEO phase quality, opened, closed and filled.", ""});
    else if (text == "auto")
        methods.push_back({"mask", "phase quality and magnitude mask",
                           "The mask holds the voxels with high ROMEO phase quality and magnitude, opened, closed and filled, "
                           "without regions of fast R2* decay at its surface.",
                           ""});
    else if (text == "compact")
        methods.push_back({"mask", "compact phase quality and magnitude mask",
                           "The mask holds the voxels with high ROMEO phase quality and magnitude, opened, closed and filled.", ""});
    else if (expression.kind == mask::NodeKind::source && expression.source.kind == mask::SourceKind::file)
        methods.push_back(source_method(expression.source));
    else {
        methods.push_back({"mask", "mask expression",
                           str("The mask is: ", text, " (& and, | or, - and not, ! not; then the steps in their order)."), ""});
        mask::for_each_source(expression, [&](const mask::Source& source) {
            Method method = source_method(source);
            const auto same = [&](const Method& m) { return m.stage == "mask" && m.sentence == method.sentence; };
            if (!method.name.empty() && std::none_of(methods.begin(), methods.end(), same)) methods.push_back(std::move(method));
        });
    }
    if (o.mask_erosion_mm > 0.0)
        methods.push_back({"mask", "erosion", str("The mask was eroded by ", o.mask_erosion_mm, " mm."), ""});
}

}  // namespace

std::vector<Method> methods_of(const ChainOptions& o)
{
    std::vector<Method> methods;
    add_phase_methods(methods, o);
    add_field_methods(methods, o);
    add_r2star_methods(methods, o);
    add_mask_methods(methods, o);
    add_registry_methods(methods, o);
    if (resolved(o).null_space == "on")
        methods.push_back({"chi", null_space_method,
                           "Smooth waves of susceptibility, which the total field cannot show, were chosen so that voxels of like R2*, or else "
                           "of one mode of the map, are most alike.",
                           "Kee Y et al. Quantitative susceptibility mapping (QSM) algorithms: mathematical rationale and computational "
                           "implementations. IEEE Trans Biomed Eng 64:2531-2545, 2017. doi:10.1109/TBME.2017.2749298"});
    if (o.two_pass == "on")
        methods.push_back({"chi", two_pass_method,
                           "Two maps, one of the reliable part of the mask and one of the filled mask, were put together "
                           "against streaks of strong sources.",
                           "Stewart AW et al. QSMxT: Robust masking and artifact reduction for quantitative susceptibility "
                           "mapping. Magn Reson Med 87:1289-1300, 2022. doi:10.1002/mrm.29048"});
    if (o.per_echo)
        methods.push_back({"chi", "weighted mean of echoes",
                           "The maps of the echoes were averaged with weights of squared magnitude times squared echo time.", ""});
    add_reference_methods(methods, o);
    add_swi_methods(methods, o);
    return methods;
}

void write_dataset_files(const fs::path& output_dir, const ChainOptions& options, const fs::path& bids_dir)
{
    nlohmann::ordered_json description{{"Name", "Quantitative susceptibility maps"},
                                       {"BIDSVersion", "1.9.0"},
                                       {"DatasetType", "derivative"}};
    description["GeneratedBy"] = nlohmann::ordered_json::array(
        {{{"Name", "qsmpi"}, {"Version", version()}, {"Description", str("commit ", commit())}}});
    if (!bids_dir.empty()) {
        const std::string uri = "file://" + fs::absolute(bids_dir).lexically_normal().generic_string();
        description["DatasetLinks"] = {{"raw", uri}};
    }
    io::write_file_atomic(output_dir / "dataset_description.json", description.dump(2) + "\n");

    std::string text = str("Susceptibility maps were computed with qsmpi ", version(), ".\n\n"), papers;
    int n_papers = 0;
    for (const Method& method : methods_of(options)) {
        text += method.sentence;
        if (!method.citation.empty()) {
            text += str(" [", ++n_papers, "]");
            papers += str("[", n_papers, "] ", method.citation, "\n");
        }
        text += "\n";
    }
    io::write_file_atomic(output_dir / "methods.txt",
                          text + "\nWhat a scan needed beyond this (bipolar readout, assumed units) is in the sidecar of its "
                                 "map.\n\nReferences\n" + papers);
}

}  // namespace qsmpi::pipeline
