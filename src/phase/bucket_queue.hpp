#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace qsmpi::phase {

/// 256 stacks of 32-bit entries; pop() takes the last entry of the lowest stack that has one.
///
/// The stacks are chains of 4 KiB chunks that return to a common pool when they run empty, so the memory follows the
/// number of entries alive, whatever their costs are.
class BucketQueue {
public:
    void push(std::uint32_t cost, std::uint32_t entry)
    {
        Stack& stack = stacks_[cost];
        if (stack.next == stack.end) add_chunk(stack);
        *stack.next++ = entry;
        if (cost < lowest_) lowest_ = cost;
    }

    /// False when the queue is empty.
    bool pop(std::uint32_t& entry)
    {
        while (stacks_[lowest_].next == stacks_[lowest_].begin) {
            if (remove_chunk(stacks_[lowest_])) continue;
            if (lowest_ == stacks_.size() - 1) return false;
            ++lowest_;
        }
        entry = *--stacks_[lowest_].next;
        return true;
    }

    /// Forgets all entries; memory goes back to the pool.
    void clear()
    {
        for (Stack& stack : stacks_) {
            while (remove_chunk(stack)) {}
        }
        lowest_ = static_cast<std::uint32_t>(stacks_.size() - 1);
    }

private:
    static constexpr std::uint32_t chunk_entries = 1023;
    static constexpr std::uint32_t none = ~0u;
    static constexpr std::size_t chunks_per_slab = 256;

    struct Chunk {
        std::array<std::uint32_t, chunk_entries> entries;
        std::uint32_t below;  ///< next chunk of the stack, or of the pool
    };
    /// The uppermost chunk of a stack; all null without one, so that push sees it full and pop sees it empty.
    struct Stack {
        std::uint32_t* next = nullptr;
        std::uint32_t* begin = nullptr;
        std::uint32_t* end = nullptr;
        std::uint32_t chunk = none;
    };

    [[nodiscard]] Chunk& chunk(std::uint32_t i) { return slabs_[i / chunks_per_slab][i % chunks_per_slab]; }

    void add_chunk(Stack& stack)
    {
        if (free_ == none) {
            const auto first = static_cast<std::uint32_t>(slabs_.size() * chunks_per_slab);
            slabs_.push_back(std::make_unique_for_overwrite<Chunk[]>(chunks_per_slab));
            for (std::uint32_t i = 0; i < chunks_per_slab; ++i) {
                chunk(first + i).below = i + 1 < chunks_per_slab ? first + i + 1 : none;
            }
            free_ = first;
        }
        const std::uint32_t added = free_;
        free_ = chunk(added).below;
        chunk(added).below = stack.chunk;
        std::uint32_t* entries = chunk(added).entries.data();
        stack = {entries, entries, entries + chunk_entries, added};
    }

    /// Gives the uppermost chunk back; false if there was none.
    bool remove_chunk(Stack& stack)
    {
        if (stack.chunk == none) return false;
        const std::uint32_t removed = stack.chunk;
        const std::uint32_t below = chunk(removed).below;
        chunk(removed).below = free_;
        free_ = removed;
        stack = {};
        if (below != none) {
            std::uint32_t* entries = chunk(below).entries.data();
            stack = {entries + chunk_entries, entries, entries + chunk_entries, below};
        }
        return true;
    }

    std::array<Stack, 256> stacks_;
    std::vector<std::unique_ptr<Chunk[]>> slabs_;
    std::uint32_t free_ = none;
    std::uint32_t lowest_ = 255;
};

}  // namespace qsmpi::phase
