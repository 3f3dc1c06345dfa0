// What NVRTC made of kernels.cu, within the library: machine code for each
// architecture, and PTX for those that come after. An empty one is not there.

#if defined(__linux__) && defined(__ELF__)

#define IMAGE(name, file)                                                  \
  .balign 64;                                                              \
  .globl keras_norms_image_##name;                                         \
  .globl keras_norms_image_end_##name;                                     \
  .hidden keras_norms_image_##name;                                        \
  .hidden keras_norms_image_end_##name;                                    \
  keras_norms_image_##name: .incbin file;                                  \
  keras_norms_image_end_##name: .byte 0

  .section .rodata
  IMAGE(sm_70, "sm_70.image")
  IMAGE(sm_75, "sm_75.image")
  IMAGE(sm_80, "sm_80.image")
  IMAGE(sm_86, "sm_86.image")
  IMAGE(sm_89, "sm_89.image")
  IMAGE(sm_90, "sm_90.image")
  IMAGE(sm_100, "sm_100.image")
  IMAGE(sm_120, "sm_120.image")
  IMAGE(compute_90, "compute_90.image")

  .section .note.GNU-stack, "", %progbits

#endif
