// Where operations run: on a CPU by its device's own threads, on a GPU in its
// stream. Run(context, arguments) runs an operation of ../contract there.

#ifndef KERAS_NORMS_TENSORFLOW_DEVICE_TRAITS_H_
#define KERAS_NORMS_TENSORFLOW_DEVICE_TRAITS_H_

#include <functional>
#include <string>

#include "../cpu/kernels.h"
#include "../cpu/thread_pool.h"
#include "../cuda/driver.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/platform/threadpool.h"
#include "xla/stream_executor/stream.h"

namespace keras_norms {

struct OnCpu {
  static constexpr const char* kDevice = "CPU";

  template <class Arguments>
  static absl::Status Run(tensorflow::OpKernelContext* context,
                          const Arguments& arguments) {
    const auto* threads = context->device()->tensorflow_cpu_worker_threads();
    const ThreadPool pool(
        threads->num_threads,
        [workers = threads->workers](std::function<void()> task) {
          workers->Schedule(std::move(task));
        });
    keras_norms::Run(BestKernels(), arguments, pool);
    return absl::OkStatus();
  }
};

struct OnGpu {
  static constexpr const char* kDevice = "GPU";

  template <class Arguments>
  static absl::Status Run(tensorflow::OpKernelContext* context,
                          const Arguments& arguments) {
    tensorflow::Tensor scratch;
    absl::Status allocated;
    auto* const stream = context->op_device_context()->stream();
    Stream in(stream->platform_specific_handle().stream, [&](size_t bytes) {
      const tensorflow::TensorShape shape({static_cast<int64_t>(bytes)});
      allocated = context->allocate_temp(tensorflow::DT_INT8, shape, &scratch);
      return allocated.ok() ? scratch.data() : nullptr;
    });
    const std::string error = RunOnDevice(arguments, in);
    if (error.empty() || !allocated.ok()) return allocated;
    return tensorflow::errors::Internal("keras_norms: ", error);
  }
};

}  // namespace keras_norms

#endif  // KERAS_NORMS_TENSORFLOW_DEVICE_TRAITS_H_
