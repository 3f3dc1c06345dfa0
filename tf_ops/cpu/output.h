// Where results go: to their place, or past the caches.
//
// A store brings its line into the cache first. Where x and y together are
// more than the last cache holds, that read is of no use to anyone, and a
// third of the traffic.

#ifndef KERAS_NORMS_CPU_OUTPUT_H_
#define KERAS_NORMS_CPU_OUTPUT_H_

#include <cstdint>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "chunks.h"
#include "numbers.h"

namespace {

#ifdef __x86_64__
constexpr bool kStreams = true;

// Whole lines, aligned to lines.
inline void Stream(void* to, const void* from, int64_t bytes) {
  char* out = static_cast<char*>(to);
  const char* in = static_cast<const char*>(from);
#ifdef __AVX512F__
  for (int64_t i = 0; i < bytes; i += 64) {
    _mm512_stream_si512(reinterpret_cast<__m512i*>(out + i),
                        _mm512_load_si512(in + i));
  }
#else
  for (int64_t i = 0; i < bytes; i += 16) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(out + i),
                     _mm_load_si128(reinterpret_cast<const __m128i*>(in + i)));
  }
#endif
}

inline void EndStream() { _mm_sfence(); }
#else
constexpr bool kStreams = false;
inline void Stream(void*, const void*, int64_t) {}
inline void EndStream() {}
#endif

// Runs of results, computed with S and kept as T.
template <class T, class S>
class Output {
 public:
  explicit Output(bool streams) : streams_(kStreams && streams) {}
  ~Output() {
    if (streams_) EndStream();
  }

  // Where n results are to be computed.
  S* Place(T* to, int64_t n, int run) {
    if (Streams(to, n)) return results_[run];
    return ::Place(to, results_[run]);
  }

  // What was computed there.
  void Finish(T* to, int64_t n, int run) {
    if (!Streams(to, n)) {
      Write(results_[run], n, to);
    } else if (sizeof(T) == sizeof(S)) {
      Stream(to, results_[run], n * sizeof(T));
    } else {
      Write(results_[run], n, narrow_);
      Stream(to, narrow_, n * sizeof(T));
    }
  }

 private:
  bool Streams(const T* to, int64_t n) const {
    const uintptr_t ends = reinterpret_cast<uintptr_t>(to) | n * sizeof(T);
    return streams_ && ends % 64 == 0;
  }

  bool streams_;
  alignas(64) S results_[kRuns][kTile];
  alignas(64) T narrow_[kTile];
};

}  // namespace

#endif  // KERAS_NORMS_CPU_OUTPUT_H_
