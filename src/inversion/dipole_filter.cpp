#include "dipole_filter.hpp"

namespace qsmpi::inversion::detail {

using numerics::Tile;

DipoleFilter::DipoleFilter(const Grid& padded, const UnitVector& b0_direction_ijk)
    : kernel_(padded, b0_direction_ijk), fft_(padded), work_(padded.dims)
{
}

void DipoleFilter::apply(const VolumeF& in, VolumeF& out)
{
    apply_changed(in, out, nullptr);
}

void DipoleFilter::apply_rows(const Dims& in_dims, const numerics::RowSource& source, const Dims& out_dims,
                              const numerics::RowSink& sink)
{
    fft_.filter_rows(
        in_dims, source, out_dims, sink,
        [this](const Tile& tile) {
            AlignedBuffer<float> factors(tile.nz * Tile::width);
            kernel_.tile(tile, factors.data());
            tile.multiply(factors.data());
        },
        work_);
}

void DipoleFilter::apply_changed(const VolumeF& in, VolumeF& out, const Change& change)
{
    fft_.filter_tiles(
        in, out,
        [&](const Tile& tile) {
            AlignedBuffer<float> factors(tile.nz * Tile::width);
            kernel_.tile(tile, factors.data());
            if (change) change(tile, factors.data());
            tile.multiply(factors.data());
        },
        work_);
}

}  // namespace qsmpi::inversion::detail
