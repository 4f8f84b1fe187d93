#include "qsmpi/background/registry.hpp"

namespace qsmpi::background {

extern const Method separation_method;
constinit const Method separation_method{
    .name = "separation",
    .help = "sources inside and outside the mask told apart by their expected size: most accurate, keeps the whole mask",
    .parameters = "5 rounds (12 without data beyond the mask, 18 where the map holds a haemorrhage or as strong a source) of conjugate gradients (30, then 15 iterations, 20 from the sixth round on); 0.02 ppm inside, 1 and then 4 in tissue outside, 10 in air; beside them polynomials of order two, harmonic ones unless the coil's phase is in the field",
    .sentence = "Background fields were removed by maximum a-posteriori separation of the sources inside and outside the mask.",
    .citation = "Liu Z. et al., Magn. Reson. Med. 78(1):303-315, 2017, doi:10.1002/mrm.26331; "
                "Liu T. et al., NMR Biomed. 24(9):1129-1136, 2011, doi:10.1002/nbm.1670",
    .run = [](const Problem& p) {
        const SeparationInput input{.sigma_ppm = p.sigma_ppm,
                                    .magnitude = p.magnitude,
                                    .relative_residual = p.relative_residual,
                                    .holds_coil_phase = p.holds_coil_phase};
        SeparationOptions options;
        if (p.rounds > 0) {
            options.rounds = separation_rounds(p.rounds);
        } else {
            options.rounds_without_data_beyond = 12;
            options.rounds_beside_strong = 18;
        }
        return separate_sources(*p.total_field_ppm, *p.mask, p.b0_direction_ijk, input, p.inner, options);
    },
    .leaves_little = true,
    .takes_rounds = true};

}  // namespace qsmpi::background
