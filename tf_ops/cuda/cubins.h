// Which of the images that images.S has is for which GPU.

#ifndef KERAS_NORMS_CUDA_IMAGES_H_
#define KERAS_NORMS_CUDA_IMAGES_H_

#define KERAS_NORMS_IMAGES(USE) \
  USE(sm_70, 70)                \
  USE(sm_75, 75)                \
  USE(sm_80, 80)                \
  USE(sm_86, 86)                \
  USE(sm_89, 89)                \
  USE(sm_90, 90)                \
  USE(sm_100, 100)              \
  USE(sm_120, 120)              \
  USE(compute_90, 0)

#ifdef __linux__
#define KERAS_NORMS_DECLARE(name, capability)       \
  extern "C" const char keras_norms_image_##name[]; \
  extern "C" const char keras_norms_image_end_##name[];
KERAS_NORMS_IMAGES(KERAS_NORMS_DECLARE)
#undef KERAS_NORMS_DECLARE
#endif

namespace keras_norms {

struct Image {
  int capability;  // 10 major + minor; 0 for PTX
  const char* begin;
  const char* end;
};

// From the oldest on; the PTX last.
constexpr Image kImages[] = {
#ifdef __linux__
#define KERAS_NORMS_IMAGE(name, capability) \
  {capability, keras_norms_image_##name, keras_norms_image_end_##name},
    KERAS_NORMS_IMAGES(KERAS_NORMS_IMAGE)
#undef KERAS_NORMS_IMAGE
#else
    {0, nullptr, nullptr},
#endif
};

// Machine code runs on its own architecture, and on later minor versions of
// the same; PTX on what comes after it.
inline const char* ImageFor(int capability) {
  const char* found = nullptr;
  for (const Image& image : kImages) {
    if (image.begin == image.end) continue;
    const bool code = image.capability != 0;
    if (code && (image.capability / 10 != capability / 10 ||
                 image.capability > capability)) {
      continue;
    }
    if (!code && (found != nullptr || capability < 90)) continue;
    found = image.begin;
  }
  return found;
}

}  // namespace keras_norms

#endif  // KERAS_NORMS_CUDA_IMAGES_H_
