#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::inversion::detail {

/// Primal-dual iterations (Chambolle & Pock, over-relaxed, diagonally preconditioned) for
///   min 1/2 || w psi ||^2 + alpha1 || grad chi - v || + alpha0 || E v ||   so that   Box chi - Lap psi = data  in
/// S0, on a mask S; Box = Lap/3 - (b . grad)^2, E the symmetrised derivative. S0: voxels whose stencils stay in S.
///
/// All differences are between voxels of S. An iteration is one sweep over memory: primal and dual slices follow each
/// other in slabs, so that what one makes the other finds in cache. 2 reads and writes of 15 volumes, no FFT.
class TgvSolver {
public:
    struct Settings {
        double alpha1 = 0.0, alpha0 = 0.0;  ///< [ppm mm], [ppm mm^2]
        double relaxation = 1.9;            ///< in [1, 2)
        /// Expected sizes of eta [mm^2], p [mm], q [mm^2], v [1/mm] and psi relative to chi for voxels of 1 mm. Each goes with
        /// the voxel size by its unit, so that the same numbers on larger voxels are the same problem. Only the speed depends
        /// on them, but so does a map that is stopped early. Tuned on simulated heads: with sizes of 1 the map is not there
        /// after 2000 iterations.
        double eta_scale = 0.0025, psi_scale = 0.3, v_scale = 2.0;
        double q_scale_per_p = 1.5;       ///< [mm]
        double p_scale = 0.01;            ///< until there is a field
        double p_scale_per_ratio = 0.17;  ///< p's size [mm] over alpha1 / (size of chi, from the field)
    };
    struct Steps {
        float psi, chi, v, eta, p, q;
    };

    /// The mask's outermost layer of voxels must be empty: stencils reach for one voxel.
    /// @param squared_weight  w^2, any value outside the mask
    TgvSolver(const Mask& mask, const UnitVector& b0_direction_ijk, const VolumeF& squared_weight,
              const Settings& settings);

    /// data <- the Laplacian of a field [ppm/mm^2] in S0, which only looks at voxels of the mask. Sets the steps by
    /// its size.
    void set_field(const VolumeF& field_ppm);
    /// One iteration. @return ||chi - chi_before|| / ||chi|| if `measure`, else 0
    double step(bool measure);

    [[nodiscard]] const VolumeF& chi() const { return chi_; }
    [[nodiscard]] const VolumeF& psi() const { return psi_; }
    [[nodiscard]] const Steps& steps() const { return steps_; }
    /// Every variable in the order of the members, for tests: primal chi, psi, v; dual eta, p, q (q_ij times sqrt 2
    /// off the diagonal).
    [[nodiscard]] std::array<VolumeF*, 5> primal() { return {&chi_, &psi_, &v_[0], &v_[1], &v_[2]}; }
    [[nodiscard]] std::array<VolumeF*, 10> dual()
    {
        return {&eta_, &p_[0], &p_[1], &p_[2], &q_[0], &q_[1], &q_[2], &q_[3], &q_[4], &q_[5]};
    }
    /// Voxels where the dual variables may differ from 0, in the order of dual().
    [[nodiscard]] bool is_free(std::size_t i_dual, std::size_t voxel) const
    {
        return (code_[voxel] >> (i_dual + 1) & 1) != 0;
    }

private:
    static constexpr std::size_t n_bars = 5;  // psi, chi, v
    /// Extrapolated primal variables of one slice, with their margin.
    struct Bars {
        std::array<float*, n_bars> variable;
    };
    struct Slab {
        std::size_t first, last;
    };
    struct Range {
        std::size_t begin = 0, end = 0;
    };

    void mark(const Mask& mask, bool oblique);
    void set_steps(double p_scale_mm);
    void make_slabs();
    [[nodiscard]] Bars bars(std::size_t z);
    void primal_slice(std::size_t z, bool measure);
    void dual_slice(std::size_t z);
    template <bool oblique>
    void primal_row(std::size_t y, std::size_t z, const Bars& out, bool measure);
    template <bool oblique>
    void dual_row(std::size_t y, std::size_t z, const Bars& below, const Bars& here, const Bars& above);

    Dims n_;
    Vec3 h_;
    double edge_mm_;
    bool oblique_;
    float alpha1_, alpha0_, relaxation_;
    Settings settings_;
    double laplacian_size_ = 0.0, box_size_ = 0.0;  // sums of the stencils' absolute values
    Steps steps_{};
    std::array<float, 3> r_{}, second_{}, box_{}, cross_{};  // 1/h, 1/h^2, Box's second differences, its xy, xz, yz
    Volume<std::uint16_t> code_;                             // bit 0: S; bit k + 1: dual variable k may differ from 0
    std::vector<Range> ranges_;                              // of S in each row
    VolumeF data_, squared_weight_;
    VolumeF chi_, psi_;
    std::array<VolumeF, 3> v_;
    VolumeF eta_;
    std::array<VolumeF, 3> p_;
    std::array<VolumeF, 6> q_;  // xx, yy, zz, xy, xz, yz
    std::vector<Slab> slabs_;
    std::vector<std::size_t> slab_of_;
    std::vector<AlignedBuffer<float>> slab_bars_;
    AlignedBuffer<float> no_bars_;  // zeros, beyond the first and last slice
    std::vector<double> changes_, norms_;
};

}  // namespace qsmpi::inversion::detail
