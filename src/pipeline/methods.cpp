// Names, sentences and papers of what a chain does: for sidecars and methods.txt.
#include <nlohmann/json.hpp>

#include "chain.hpp"
#include "qsmpi/core/version.hpp"
#include "qsmpi/io/file.hpp"
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

void add_mask_methods(std::vector<Method>& methods, const ChainOptions& o)
{
    if (o.mask == "magnitude")
        methods.push_back({"mask", "magnitude mask", "The mask holds the bright voxels of the magnitude, without holes.", ""});
    else if (o.mask == "quality")
        methods.push_back({"mask", "phase quality mask",
                           "The mask holds the voxels with high ROMEO phase quality, opened, closed and filled.", ""});
    else if (o.mask == "auto")
        methods.push_back({"mask", "phase quality and magnitude mask",
                           "The mask holds the voxels with high ROMEO phase quality and magnitude, opened, closed and filled.",
                           ""});
    else
        methods.push_back({"mask", "given mask", "Masks were given.", ""});
}

}  // namespace

std::vector<Method> methods_of(const ChainOptions& o)
{
    std::vector<Method> methods;
    add_phase_methods(methods, o);
    add_field_methods(methods, o);
    add_mask_methods(methods, o);
    add_registry_methods(methods, o);
    if (o.per_echo)
        methods.push_back({"chi", "weighted mean of echoes",
                           "The maps of the echoes were averaged with weights of squared magnitude times squared echo time.", ""});
    if (o.reference == "mean")
        methods.push_back({"chi", "mean reference", "Susceptibility is given relative to its mean in the mask [ppm].", ""});
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
