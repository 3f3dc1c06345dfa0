// Expectations: failures are printed and counted.

#ifndef KERAS_NORMS_TEST_EXPECT_H_
#define KERAS_NORMS_TEST_EXPECT_H_

#include <cstddef>
#include <cstdio>
#include <string>

namespace {

int failures = 0;

// A hash (FNV-1a) of the bits of all results, in order. A change that preserves
// results preserves the checksum that the tests print.
unsigned long long checksum = 14695981039346656037ull;

inline void AddToChecksum(const void* data, size_t bytes) {
  const unsigned char* const all = static_cast<const unsigned char*>(data);
  for (size_t i = 0; i < bytes; ++i) {
    checksum = (checksum ^ all[i]) * 1099511628211ull;
  }
}

void Expect(bool good, const std::string& what) {
  if (good) return;
  ++failures;
  if (failures <= 30) std::printf("FAILED: %s\n", what.c_str());
}

}  // namespace

#endif  // KERAS_NORMS_TEST_EXPECT_H_
