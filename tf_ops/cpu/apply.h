// Pass 2: y = f((x - center) scale + shift).

#ifndef KERAS_NORMS_CPU_APPLY_H_
#define KERAS_NORMS_CPU_APPLY_H_

#include "activations.h"
#include "walk.h"

namespace {

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

  // From another entry on.
  Row operator+(int64_t i) const {
    return {center + i, scale + i, shift + i, b ? b + i : b, d ? d + i : d};
  }
};

template <class S, class A>
inline Row<S> RowOf(const A& arguments, int64_t row, const void* b = nullptr,
                    const void* d = nullptr) {
  const int64_t at = row * arguments.view.channels;
  const auto table = [at](const void* of) {
    return of ? static_cast<const S*>(of) + at : nullptr;
  };
  return {table(arguments.center), table(arguments.scale),
          table(arguments.shift), table(b), table(d)};
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

// Some entries of a line, and z = (x - center) scale + shift of them.
template <class V>
struct Entries {
  V center, scale, shift;

  V Linear(V apart) const { return apart * scale + shift; }
};

template <class V, class S>
KERAS_NORMS_INLINE inline Entries<V> EntriesOf(const Row<S>& line, int64_t i) {
  return {Load<V>(line.center + i), Load<V>(line.scale + i),
          Load<V>(line.shift + i)};
}

// x, but 0 where it is masked and not finite.
template <class V, class T>
KERAS_NORMS_INLINE inline V LoadKept(const T* x, const Runs& runs, int64_t i) {
  V value = Load<V>(x);
  if (!runs.keep) return value;
  const V known = value - value == 0 ? value : V();
  return Keeps<V>(runs, i) != 0 ? value : known;
}

// f(lanes, count, runs, line, i) for the vectors of a chunk: of each of the
// runs the one from i on, which goes with the entries from i on of the line.
template <class S, class F>
KERAS_NORMS_INLINE inline void EachPiece(const Walk& walk, const Row<S>& row,
                                         const MaskByte* mask, int64_t ahead,
                                         const F& f) {
  Laid<S> laid(walk);
  for (int64_t c = 0; c < walk.channels_apart(); ++c) {
    const Row<S> line = laid.For(row, c);
    EachRuns(walk, c, 0, walk.width(), mask, ahead,
             [&](auto count, const Runs& runs) KERAS_NORMS_INLINE {
      EachVector<S>(runs.n, [&](auto lanes, int64_t i) KERAS_NORMS_INLINE {
        f(lanes, count, runs, line, i);
      });
    });
  }
}

template <class T, class S>
inline void ApplyChunk(const View& view, const Chunk& chunk, const T* x,
                       const Row<S>& row, Activation function,
                       const MaskByte* mask, T* y, bool streams) {
  const Walk walk(view, chunk, mask != nullptr);
  streams = streams && walk.aligned(y);
  WithFunction(function, [&](auto f) {
    EachPiece(walk, row, mask, kAheadBytes / sizeof(T),
              [&](auto lanes, auto count, const Runs& runs, const Row<S>& line,
                  int64_t i) KERAS_NORMS_INLINE {
      using V = decltype(lanes);
      const Entries<V> entries = EntriesOf<V>(line, i);
      for (int r = 0; r < count.value; ++r) {
        const int64_t at = runs.at + r * runs.apart + i;
        Prefetch(x + at + runs.ahead, streams);
        const V apart = LoadKept<V>(x + at, runs, i) - entries.center;
        Put(f(entries.Linear(apart)), y + at, streams);
      }
    });
  });
  if (streams) EndStreams();
}

template <class T, class S>
void Apply(const keras_norms::ApplyArguments& arguments,
           const Workers& workers) {
  const View& view = arguments.view;
  const T* const x = static_cast<const T*>(arguments.x);
  T* const y = static_cast<T*>(arguments.y);
  const MaskByte* const mask = static_cast<const MaskByte*>(arguments.mask);
  const Chunks chunks(view, sizeof(T));
  const int64_t count = chunks.count();
  const bool streams = chunks.large(2);
  // From the end, of which most is in the cache where x was read just before.
  Parallel(workers, view.rows * count, [&](int64_t item) {
    const int64_t i = view.rows * count - 1 - item;
    const Chunk chunk = chunks.at(i / count, i % count);
    const Row<S> row = RowOf<S>(arguments, chunk.row);
    ApplyChunk(view, chunk, x, row, arguments.activation, mask, y, streams);
  });
}

}  // namespace

#endif  // KERAS_NORMS_CPU_APPLY_H_
