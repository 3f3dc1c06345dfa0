// Launches the kernels of one operation.

#ifndef KERAS_NORMS_CUDA_LAUNCHER_H_
#define KERAS_NORMS_CUDA_LAUNCHER_H_

#include <string>

#include "fused_plan.h"

namespace keras_norms {
namespace {

// Launches the kernels of an operation in order, until one fails.
class Launcher {
 public:
  Launcher(const CommonArguments& arguments, const void* mask,
           std::initializer_list<const void*> tensors, Device& device)
      : device_(device),
        width_(VectorWidth(arguments.view, arguments.type, mask, tensors)),
        kernel_suffix_(KernelSuffix(arguments.type, width_)),
        geometry_(MakeGeometry(arguments.view, width_)) {
    if (arguments.type == Type::kDouble)
      error_ = "The kernels for GPUs do not support float64.";
  }

  const Geometry& geometry() const { return geometry_; }

  // Allocates the partials, followed by `more` elements of the same size.
  template <class Partial>
  Partial* Partials(const Geometry& geometry, int64_t more = 0) {
    const size_t bytes = (PartialCount(geometry) + more) * sizeof(Partial);
    void* const scratch = bytes == 0 ? nullptr : device_.Scratch(bytes);
    if (bytes != 0 && scratch == nullptr) {
      error_ = "There is no memory for " + std::to_string(bytes) +
               " bytes of partial sums.";
    }
    return static_cast<Partial*>(scratch);
  }

  template <class Task>
  void Pass(const char* name, const Task& task) {
    Launch(std::string(name) + "_" + kernel_suffix_, BlockCount(geometry_),
           ThreadCount(geometry_), &task);
  }

  // A pass that applies an activation.
  template <class Task>
  void AffinePass(const char* name, const Task& task) {
    Launch(NameOf(name, task.affine), BlockCount(geometry_),
           ThreadCount(geometry_), &task);
  }

  template <class Task>
  void Pool(const char* name, int64_t results, const Task& task) {
    Launch(name, CeilDiv(results, task.geometry.block_results), kThreads,
           &task);
  }

  // The plan of the fused group norm, or of its gradient with two tensors. Its
  // `cluster` is 0 if the kernel does not support the shape or the GPU.
  FusedPlan PlanFused(const char* name, const View& view,
                      const AffinePointers& affine, int tensors) {
    FusedPlan plan = MakeFusedPlan(view, width_, affine.group_size,
                                   device_.limits(), tensors);
    if (plan.cluster > 1 &&
        !device_.Fits(("keras_norms_" + NameOf(name, affine)).c_str(),
                      ShapeOf(plan))) {
      plan.cluster = 0;
    }
    return plan;
  }

  template <class Task>
  void Fused(const char* name, const FusedPlan& plan, const Task& task) {
    const LaunchShape shape = ShapeOf(plan);
    Launch(NameOf(name, task.affine), BlockCount(plan.geometry), shape.threads,
           &task, shape.cluster, shape.shared);
  }

  const std::string& error() const { return error_; }

 private:
  static LaunchShape ShapeOf(const FusedPlan& plan) {
    return {static_cast<unsigned>(BlockCount(plan.geometry)),
            ThreadCount(plan.geometry), plan.cluster, plan.shared};
  }

  static std::string KernelSuffix(Type type, int width) {
    const char* const name = type == Type::kFloat  ? "float"
                             : type == Type::kHalf ? "half"
                                                   : "bfloat16";
    return std::string(name) + (width > 1 ? "_wide" : "");
  }

  // The identity has separate kernels, and at 16 bits so have the common
  // activations.
  std::string NameOf(const char* pass, const AffinePointers& affine) const {
    const auto activation = static_cast<Activation>(affine.activation);
    const bool common = width_ == 8;
    const char* const function =
        activation == Activation::kIdentity         ? "_identity"
        : common && activation == Activation::kRelu ? "_relu"
        : common && activation == Activation::kSilu ? "_silu"
                                                    : "_any";
    return std::string(pass) + "_" + kernel_suffix_ + function;
  }

  void Launch(const std::string& name, int64_t blocks, int threads,
              const void* task, int cluster = 1, int shared = 0) {
    const bool empty = geometry_.channels == 0;
    if (!error_.empty() || blocks == 0 || empty) return;
    if (blocks > 0x7fffffff) {
      error_ = name + " needs " + std::to_string(blocks) +
               " blocks, more than CUDA can launch.";
      return;
    }
    error_ = device_.Launch(
        ("keras_norms_" + name).c_str(),
        {static_cast<unsigned>(blocks), threads, cluster, shared}, task);
  }

  Device& device_;
  const int width_;
  const std::string kernel_suffix_;
  const Geometry geometry_;
  std::string error_;
};

}  // namespace
}  // namespace keras_norms

#endif  // KERAS_NORMS_CUDA_LAUNCHER_H_
