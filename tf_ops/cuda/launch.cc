#include "launch.h"

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
  Partial* Partials(int64_t more = 0) {
    const size_t bytes = (PartialCount(geometry_) + more) * sizeof(Partial);
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

  // A pass that applies an activation. The identity has separate kernels.
  template <class Task>
  void AffinePass(const char* name, const Task& task) {
    Launch(std::string(name) + "_" + kernel_suffix_ +
               (task.affine.activation ? "_any" : "_identity"),
           BlockCount(geometry_), ThreadCount(geometry_), &task);
  }

  template <class Task>
  void Pool(const char* name, int64_t results, const Task& task) {
    Launch(name, CeilDiv(results, task.geometry.block_results), kThreads,
           &task);
  }

  // Launches the fused group norm if it supports the shape, and returns whether
  // it does. Errors of the launch are in error().
  bool TryFused(const View& view, FusedTask task) {
    const FusedPlan plan =
        MakeFusedPlan(view, width_, task.affine.group_size, device_.limits());
    if (plan.cluster == 0) return false;
    const std::string name = "fused_" + kernel_suffix_ +
                             (task.affine.activation ? "_any" : "_identity");
    const int64_t blocks = BlockCount(plan.geometry);
    const int threads = ThreadCount(plan.geometry);
    if (plan.cluster > 1 &&
        !device_.Fits(("keras_norms_" + name).c_str(),
                      {static_cast<unsigned>(blocks), threads, plan.cluster,
                       plan.shared})) {
      return false;
    }
    task.geometry = plan.geometry;
    Launch(name, blocks, threads, &task, plan.cluster, plan.shared);
    return true;
  }

  const std::string& error() const { return error_; }

 private:
  static std::string KernelSuffix(Type type, int width) {
    const char* const name = type == Type::kFloat  ? "float"
                             : type == Type::kHalf ? "half"
                                                   : "bfloat16";
    return std::string(name) + (width > 1 ? "_wide" : "");
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

const float* Floats(const void* data) {
  return static_cast<const float*>(data);
}
float* Floats(void* data) { return static_cast<float*>(data); }
const MaskByte* Mask(const void* data) {
  return static_cast<const MaskByte*>(data);
}

// For Apply and its gradient.
template <class A>
AffinePointers AffinePointersOf(const A& arguments) {
  return {Floats(arguments.center),
          Floats(arguments.scale),
          Floats(arguments.shift),
          nullptr,
          nullptr,
          0,
          static_cast<int>(arguments.activation)};
}

// For GroupNorm and its gradient.
template <class A>
AffinePointers GroupPointersOf(const A& arguments) {
  return {Floats(arguments.mean),
          Floats(arguments.rstd),
          Floats(arguments.residual),
          Floats(arguments.gamma),
          Floats(arguments.beta),
          static_cast<int>(arguments.view.channels / arguments.groups),
          static_cast<int>(arguments.activation)};
}

}  // namespace

std::string RunOnDevice(const MomentsArguments& a, Device& device) {
  Launcher launcher(a, a.mask, {a.x}, device);
  const Geometry& g = launcher.geometry();
  MomentsPartial* const partials = launcher.Partials<MomentsPartial>();
  launcher.Pass("moments", MomentsTask{g, a.x, Mask(a.mask), partials});
  launcher.Pool("pool_moments", g.rows * g.channels,
                PoolMomentsTask{MakePoolGeometry(g, 1, g.chunks), partials,
                                0.0, Floats(a.count), Floats(a.mean),
                                Floats(a.variance), Floats(a.residual),
                                nullptr});
  return launcher.error();
}

std::string RunOnDevice(const ApplyArguments& a, Device& device) {
  Launcher launcher(a, a.mask, {a.x, a.y}, device);
  launcher.AffinePass("apply",
                      ApplyTask{launcher.geometry(), AffinePointersOf(a), a.x,
                                Mask(a.mask), a.y});
  return launcher.error();
}

std::string RunOnDevice(const GradientSumsArguments& a, Device& device) {
  Launcher launcher(a, a.mask, {a.x, a.dy}, device);
  const Geometry& g = launcher.geometry();
  SumsPartial* const partials = launcher.Partials<SumsPartial>();
  launcher.AffinePass("sums", SumsTask{g, AffinePointersOf(a), a.x, a.dy,
                                       Mask(a.mask), partials});
  launcher.Pool(
      "pool_sums", g.rows * g.channels,
      PoolSumsTask{MakePoolGeometry(g, 1, g.chunks), partials, nullptr, nullptr,
                   nullptr, 0.0, Floats(a.sum_g), Floats(a.sum_g_centered),
                   nullptr, nullptr});
  return launcher.error();
}

std::string RunOnDevice(const GradientCombineArguments& a, Device& device) {
  Launcher launcher(a, a.mask, {a.x, a.dy, a.dx}, device);
  launcher.AffinePass(
      "combine",
      CombineTask{launcher.geometry(), AffinePointersOf(a), a.x, a.dy,
                  Mask(a.mask), Floats(a.slope), Floats(a.offset), a.dx});
  return launcher.error();
}

std::string RunOnDevice(const GroupNormArguments& a, Device& device) {
  Launcher launcher(a, nullptr, {a.x, a.y}, device);
  const Geometry& g = launcher.geometry();
  const int64_t group_size = a.view.channels / a.groups;
  const AffinePointers affine = GroupPointersOf(a);
  if (launcher.TryFused(a.view, {{},
                                 affine,
                                 a.x,
                                 a.y,
                                 a.epsilon,
                                 Floats(a.mean),
                                 Floats(a.variance),
                                 Floats(a.residual),
                                 Floats(a.rstd)})) {
    return launcher.error();
  }
  MomentsPartial* const partials = launcher.Partials<MomentsPartial>();
  launcher.Pass("moments", MomentsTask{g, a.x, nullptr, partials});
  launcher.Pool(
      "pool_moments", g.rows * a.groups,
      PoolMomentsTask{MakePoolGeometry(g, group_size, group_size * g.chunks),
                      partials, a.epsilon, nullptr, Floats(a.mean),
                      Floats(a.variance), Floats(a.residual), Floats(a.rstd)});
  launcher.AffinePass("apply", ApplyTask{g, affine, a.x, nullptr, a.y});
  return launcher.error();
}

std::string RunOnDevice(const GroupNormGradientArguments& a, Device& device) {
  Launcher launcher(a, nullptr, {a.x, a.dy, a.dx}, device);
  const Geometry& g = launcher.geometry();
  const int64_t group_size = a.view.channels / a.groups;
  const AffinePointers affine = GroupPointersOf(a);
  // The slope and offset of each group follow the partials. Together, they have
  // the size of one partial.
  const int64_t row_groups = g.rows * a.groups;
  // In batch norm, the sums of groups are the gradients of gamma and beta.
  const bool of_channels = g.rows == 1 && group_size == 1;
  SumsPartial* const partials = launcher.Partials<SumsPartial>(row_groups);
  float* const slope = reinterpret_cast<float*>(partials + PartialCount(g));
  float* const offset = slope + row_groups;
  launcher.AffinePass("sums",
                      SumsTask{g, affine, a.x, a.dy, nullptr, partials});
  launcher.Pool(
      "pool_sums", row_groups,
      PoolSumsTask{MakePoolGeometry(g, group_size, group_size * g.chunks),
                   partials, affine.scale, affine.shift, affine.gamma,
                   static_cast<double>(group_size * a.view.positions()), slope,
                   offset, of_channels ? Floats(a.d_gamma) : nullptr,
                   of_channels ? Floats(a.d_beta) : nullptr});
  launcher.AffinePass("combine", CombineTask{g, affine, a.x, a.dy, nullptr,
                                             slope, offset, a.dx});
  if (of_channels) return launcher.error();
  launcher.Pool(
      "affine_gradient", g.channels,
      AffineGradientTask{MakePoolGeometry(g, group_size, g.rows * g.chunks),
                         partials, affine.scale, affine.shift,
                         Floats(a.d_gamma), Floats(a.d_beta)});
  return launcher.error();
}

}  // namespace keras_norms
