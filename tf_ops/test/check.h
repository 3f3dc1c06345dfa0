// What fails is told and counted.

#ifndef KERAS_NORMS_TEST_CHECK_H_
#define KERAS_NORMS_TEST_CHECK_H_

#include <cstdio>
#include <string>

namespace {

int failures = 0;

void Check(bool good, const std::string& what) {
  if (good) return;
  ++failures;
  if (failures <= 30) std::printf("FAILED: %s\n", what.c_str());
}

}  // namespace

#endif  // KERAS_NORMS_TEST_CHECK_H_
