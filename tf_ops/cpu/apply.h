// Pass 2: y = f((x - center) scale + shift).

#ifndef KERAS_NORMS_CPU_APPLY_H_
#define KERAS_NORMS_CPU_APPLY_H_

#include "activations.h"
#include "chunks.h"
#include "numbers.h"

namespace {

using keras_norms::Line;

// The tables of a line, of one row, or laid out for the spans of a channel.
template <class S>
struct Row {
  const S* center;
  const S* scale;
  const S* shift;
  // Of dx, or null.
  const S* b;
  const S* d;

  Row row() const { return *this; }
};

template <class S>
inline Row<S> RowOf(const Line& line, int64_t row, int64_t channels,
                    const void* b = nullptr, const void* d = nullptr) {
  const int64_t at = row * channels;
  const auto table = [at](const void* of) {
    return of ? static_cast<const S*>(of) + at : nullptr;
  };
  return {table(line.tables.center), table(line.tables.scale),
          table(line.tables.shift), table(b), table(d)};
}

template <class S>
class Laid {
 public:
  explicit Laid(const Walk& walk)
      : walk_(walk), width_(walk.width()), buffer_(5 * walk.width()) {}
  Row<S> For(const Row<S>& row, int64_t channel) {
    S* to = buffer_.get();
    return {walk_.Lay(row.center, channel, to),
            walk_.Lay(row.scale, channel, to + width_),
            walk_.Lay(row.shift, channel, to + 2 * width_),
            walk_.Lay(row.b, channel, to + 3 * width_),
            walk_.Lay(row.d, channel, to + 4 * width_)};
  }

 private:
  const Walk& walk_;
  int64_t width_;
  Buffer<S> buffer_;
};

// f(offset in x, how many, row's tables there, whether each is kept) for all
// of a chunk, a tile at a time. `keep` is null where all are.
template <class S, class F>
inline void EachTile(const View& view, const Chunk& chunk, const Row<S>& row,
                     const bool* mask, const F& f) {
  const Walk walk(view, chunk, mask != nullptr);
  const int64_t width = walk.width(), length = walk.length();
  Laid<S> laid(walk);
  bool same[kTile];
  for (int64_t c = 0; c < walk.channels_apart(); ++c) {
    const Row<S> at = laid.For(row, c);
    for (int64_t s = 0; s < walk.spans(); ++s) {
      const int64_t offset = walk.offset(c, s);
      const bool* keep = mask ? mask + walk.position(s) : nullptr;
      for (int64_t o = 0; o < length; o += width) {
        const int64_t end = Least(width, length - o);
        for (int64_t t = 0; t < end; t += kTile) {
          const int64_t n = Least(kTile, end - t);
          const bool* each = keep ? keep + o + t : nullptr;
          if (keep && walk.last()) {
            for (int64_t i = 0; i < n; ++i) same[i] = keep[o / width];
            each = same;
          }
          f(offset + o + t, n,
            Row<S>{at.center + t, at.scale + t, at.shift + t,
                   at.b ? at.b + t : nullptr, at.d ? at.d + t : nullptr},
            each);
        }
      }
    }
  }
}

template <class S>
inline bool Finite(S value) {
  return value - value == 0;
}

// x, but 0 where it is masked and not finite.
template <class T, class S>
inline const S* ReadKept(const T* x, int64_t n, const bool* keep, S* buffer) {
  const S* read = Read(x, n, buffer);
  if (keep == nullptr) return read;
  for (int64_t i = 0; i < n; ++i) {
    buffer[i] = keep[i] || Finite(read[i]) ? read[i] : 0;
  }
  return buffer;
}

template <class S>
inline void Linear(const S* __restrict x, const Row<S>& row, int64_t n,
                   S* __restrict z) {
  const S* __restrict center = row.center;
  const S* __restrict scale = row.scale;
  const S* __restrict shift = row.shift;
  for (int64_t i = 0; i < n; ++i) {
    z[i] = (x[i] - center[i]) * scale[i] + shift[i];
  }
}

template <class T, class S>
inline void ApplyChunk(const View& view, const Chunk& chunk, const T* x,
                       const Row<S>& row, Activation function,
                       const bool* mask, T* y) {
  S wide[kTile], result[kTile];
  EachTile(view, chunk, row, mask,
           [&](int64_t at, int64_t n, const Row<S>& of, const bool* keep) {
             S* z = Place(y + at, result);
             Linear(ReadKept(x + at, n, keep, wide), of, n, z);
             Activate(function, z, n);
             Write(z, n, y + at);
           });
}

template <class T, class S>
void Apply(const View& view, const T* x, const Line& line, T* y,
           const Workers& workers) {
  const Chunks chunks(view, sizeof(T));
  const int64_t count = chunks.count();
  Parallel(workers, view.rows * count, [&](int64_t i) {
    const Chunk chunk = chunks.at(i / count, i % count);
    const Row<S> row = RowOf<S>(line, chunk.row, view.channels);
    ApplyChunk(view, chunk, x, row, line.function, line.mask, y);
  });
}

}  // namespace

#endif  // KERAS_NORMS_CPU_APPLY_H_
