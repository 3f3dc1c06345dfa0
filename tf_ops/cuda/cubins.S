// Embeds what NVRTC compiled kernels.cu to: a cubin for each architecture, and
// PTX for later ones. A file is empty if its architecture was not built.

#if defined(__linux__) && defined(__ELF__)

#define CUBIN(name, file)                                                  \
  .balign 64;                                                              \
  .globl keras_norms_cubin_##name;                                         \
  .globl keras_norms_cubin_end_##name;                                     \
  .hidden keras_norms_cubin_##name;                                        \
  .hidden keras_norms_cubin_end_##name;                                    \
  keras_norms_cubin_##name: .incbin file;                                  \
  keras_norms_cubin_end_##name: .byte 0

  .section .rodata
  CUBIN(sm_70, "sm_70.cubin")
  CUBIN(sm_75, "sm_75.cubin")
  CUBIN(sm_80, "sm_80.cubin")
  CUBIN(sm_86, "sm_86.cubin")
  CUBIN(sm_89, "sm_89.cubin")
  CUBIN(sm_90, "sm_90.cubin")
  CUBIN(sm_100, "sm_100.cubin")
  CUBIN(sm_120, "sm_120.cubin")
  CUBIN(compute_90, "compute_90.cubin")

  .section .note.GNU-stack, "", %progbits

#endif
