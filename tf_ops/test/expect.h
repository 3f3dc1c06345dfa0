// What fails is told and counted.

#ifndef KERAS_NORMS_TEST_CHECK_H_
#define KERAS_NORMS_TEST_CHECK_H_

#include <cstddef>
#include <cstdio>
#include <string>

namespace {

int failures = 0;

// Of the bits of all results, in order: a change that is to keep them prints
// the same.
unsigned long long checksum = 14695981039346656037ull;

inline void Digest(const void* data, size_t bytes) {
  const unsigned char* const all = static_cast<const unsigned char*>(data);
  for (size_t i = 0; i < bytes; ++i) {
    checksum = (checksum ^ all[i]) * 1099511628211ull;
  }
}

void Check(bool good, const std::string& what) {
  if (good) return;
  ++failures;
  if (failures <= 30) std::printf("FAILED: %s\n", what.c_str());
}

}  // namespace

#endif  // KERAS_NORMS_TEST_CHECK_H_
