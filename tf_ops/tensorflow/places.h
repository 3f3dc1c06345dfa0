// Where ops run: on a CPU by its device's own threads, on a GPU in its stream.
// Run(context, kernel, arguments) runs a kernel of the table of either.

#ifndef KERAS_NORMS_TENSORFLOW_PLACES_H_
#define KERAS_NORMS_TENSORFLOW_PLACES_H_

#include <functional>
#include <string>

#include "../cpu/kernels.h"
#include "../cpu/pool.h"
#include "../cuda/driver.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/platform/threadpool.h"
#include "xla/stream_executor/stream.h"

namespace keras_norms {

struct OnCpu {
  using Table = Kernels;
  static constexpr const char* kDevice = "CPU";

  template <class Kernel, class... Arguments>
  static absl::Status Run(tensorflow::OpKernelContext* context,
                          Kernel Kernels::* kernel,
                          const Arguments&... arguments) {
    const auto* threads = context->device()->tensorflow_cpu_worker_threads();
    const Pool pool(threads->num_threads,
                    [workers = threads->workers](std::function<void()> task) {
                      workers->Schedule(std::move(task));
                    });
    (BestKernels().*kernel)(arguments..., pool);
    return absl::OkStatus();
  }
};

struct OnGpu {
  using Table = DeviceKernels;
  static constexpr const char* kDevice = "GPU";

  template <class Kernel, class... Arguments>
  static absl::Status Run(tensorflow::OpKernelContext* context,
                          Kernel DeviceKernels::* kernel,
                          const Arguments&... arguments) {
    tensorflow::Tensor scratch;
    absl::Status allocated;
    auto* const stream = context->op_device_context()->stream();
    Stream in(stream->platform_specific_handle().stream, [&](size_t bytes) {
      const tensorflow::TensorShape shape({static_cast<int64_t>(bytes)});
      allocated = context->allocate_temp(tensorflow::DT_INT8, shape, &scratch);
      return allocated.ok() ? scratch.data() : nullptr;
    });
    const std::string wrong = (OnDevice().*kernel)(arguments..., in);
    if (wrong.empty() || !allocated.ok()) return allocated;
    return tensorflow::errors::Internal("keras_norms: ", wrong);
  }
};

}  // namespace keras_norms

#endif  // KERAS_NORMS_TENSORFLOW_PLACES_H_
