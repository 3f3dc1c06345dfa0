#include "launch.h"

#include <string>

#include "plan.h"

namespace keras_norms {
namespace {

// One operation: kernels one after the other until one fails.
class Run {
 public:
  Run(const CommonArguments& arguments, const void* mask,
      std::initializer_list<const void*> tensors, Device& device)
      : device_(device),
        width_(WidthOf(arguments.view, arguments.type, mask, tensors)),
        form_(FormOf(arguments.type, width_)),
        geometry_(GeometryOf(arguments.view, width_)) {
    if (arguments.type == Type::kDouble) failed_ = "float64 is for CPUs alone";
  }

  const Geometry& geometry() const { return geometry_; }

  // The table of parts, and `more` that are not of it behind.
  template <class Part>
  Part* Parts(int64_t more = 0) {
    const size_t bytes = (PartsOf(geometry_) + more) * sizeof(Part);
    void* const found = bytes == 0 ? nullptr : device_.Scratch(bytes);
    if (bytes != 0 && found == nullptr) {
      failed_ = "no memory for " + std::to_string(bytes) + " bytes of sums";
    }
    return static_cast<Part*>(found);
  }

  template <class Task>
  void Pass(const char* name, const Task& task) {
    Launch(std::string(name) + "_" + form_, BlocksOf(geometry_),
           ThreadsOf(geometry_), &task);
  }

  // With an activation.
  template <class Task>
  void LinePass(const char* name, const Task& task) {
    Launch(std::string(name) + "_" + form_ +
               (task.line.function ? "_any" : "_identity"),
           BlocksOf(geometry_), ThreadsOf(geometry_), &task);
  }

  template <class Task>
  void Pool(const char* name, int64_t results, const Task& task) {
    Launch(name, CeilOf(results, task.geometry.each), kThreads, &task);
  }

  // Whether one kernel did all.
  bool Fused(const View& view, FusedTask task) {
    const FusedPlan plan =
        FusedPlanOf(view, width_, task.line.group_size, device_.limits());
    if (plan.cluster == 0) return false;
    task.geometry = plan.geometry;
    Launch("fused_" + form_ + (task.line.function ? "_any" : "_identity"),
           BlocksOf(plan.geometry), ThreadsOf(plan.geometry), &task,
           plan.cluster, plan.shared);
    return true;
  }

  const std::string& failed() const { return failed_; }

 private:
  static std::string FormOf(Type type, int width) {
    const char* const name = type == Type::kFloat  ? "float"
                             : type == Type::kHalf ? "half"
                                                   : "bfloat16";
    return std::string(name) + (width > 1 ? "_wide" : "");
  }

  void Launch(const std::string& name, int64_t blocks, int threads,
              const void* task, int cluster = 1, int shared = 0) {
    const bool nothing = geometry_.channels == 0;
    if (!failed_.empty() || blocks == 0 || nothing) return;
    if (blocks > 0x7fffffff) {
      failed_ = name + " would take " + std::to_string(blocks) + " blocks";
      return;
    }
    failed_ = device_.Launch(
        ("keras_norms_" + name).c_str(),
        {static_cast<unsigned>(blocks), threads, cluster, shared}, task);
  }

  Device& device_;
  const int width_;
  const std::string form_;
  const Geometry geometry_;
  std::string failed_;
};

const float* Floats(const void* data) {
  return static_cast<const float*>(data);
}
float* Floats(void* data) { return static_cast<float*>(data); }
const MaskByte* Mask(const void* data) {
  return static_cast<const MaskByte*>(data);
}

// Of Apply and of its gradient.
template <class A>
LineTask LineOf(const A& arguments) {
  return {Floats(arguments.center),
          Floats(arguments.scale),
          Floats(arguments.shift),
          nullptr,
          nullptr,
          0,
          static_cast<int>(arguments.activation)};
}

// Of GroupNorm and of its gradient.
template <class A>
LineTask GroupLineOf(const A& arguments) {
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
  Run run(a, a.mask, {a.x}, device);
  const Geometry& g = run.geometry();
  MomentsPart* const parts = run.Parts<MomentsPart>();
  run.Pass("moments", MomentsTask{g, a.x, Mask(a.mask), parts});
  run.Pool("pool_moments", g.rows * g.channels,
           PoolTask{PoolOf(g, 1, g.chunks), parts, -1.0, Floats(a.count),
                    Floats(a.mean), Floats(a.residual), Floats(a.variance)});
  return run.failed();
}

std::string RunOnDevice(const ApplyArguments& a, Device& device) {
  Run run(a, a.mask, {a.x, a.y}, device);
  run.LinePass("apply",
               ApplyTask{run.geometry(), LineOf(a), a.x, Mask(a.mask), a.y});
  return run.failed();
}

std::string RunOnDevice(const GradientSumsArguments& a, Device& device) {
  Run run(a, a.mask, {a.x, a.dy}, device);
  const Geometry& g = run.geometry();
  SumsPart* const parts = run.Parts<SumsPart>();
  run.LinePass("sums", SumsTask{g, LineOf(a), a.x, a.dy, Mask(a.mask), parts});
  run.Pool("pool_sums", g.rows * g.channels,
           PoolSumsTask{PoolOf(g, 1, g.chunks), parts, nullptr, nullptr,
                        nullptr, 0.0, Floats(a.sum), Floats(a.product)});
  return run.failed();
}

std::string RunOnDevice(const GradientCombineArguments& a, Device& device) {
  Run run(a, a.mask, {a.x, a.dy, a.dx}, device);
  run.LinePass("combine",
               CombineTask{run.geometry(), LineOf(a), a.x, a.dy, Mask(a.mask),
                           Floats(a.b), Floats(a.d), a.dx});
  return run.failed();
}

std::string RunOnDevice(const GroupNormArguments& a, Device& device) {
  Run run(a, nullptr, {a.x, a.y}, device);
  const Geometry& g = run.geometry();
  const int64_t size = a.view.channels / a.groups;
  const LineTask line = GroupLineOf(a);
  if (run.Fused(a.view, {{},
                         line,
                         a.x,
                         a.y,
                         a.epsilon,
                         Floats(a.mean),
                         Floats(a.residual),
                         Floats(a.rstd)})) {
    return run.failed();
  }
  MomentsPart* const parts = run.Parts<MomentsPart>();
  run.Pass("moments", MomentsTask{g, a.x, nullptr, parts});
  run.Pool("pool_moments", g.rows * a.groups,
           PoolTask{PoolOf(g, size, size * g.chunks), parts, a.epsilon, nullptr,
                    Floats(a.mean), Floats(a.residual), Floats(a.rstd)});
  run.LinePass("apply", ApplyTask{g, line, a.x, nullptr, a.y});
  return run.failed();
}

std::string RunOnDevice(const GroupNormGradientArguments& a, Device& device) {
  Run run(a, nullptr, {a.x, a.dy, a.dx}, device);
  const Geometry& g = run.geometry();
  const int64_t size = a.view.channels / a.groups;
  const LineTask line = GroupLineOf(a);
  // b and d lie behind the parts.
  const int64_t tables = g.rows * a.groups;
  SumsPart* const parts = run.Parts<SumsPart>(tables);
  float* const b = reinterpret_cast<float*>(parts + PartsOf(g));
  float* const d = b + tables;
  run.LinePass("sums", SumsTask{g, line, a.x, a.dy, nullptr, parts});
  run.Pool("pool_sums", tables,
           PoolSumsTask{PoolOf(g, size, size * g.chunks), parts, line.scale,
                        line.shift, line.gamma,
                        static_cast<double>(size * a.view.positions()), b, d});
  run.LinePass("combine", CombineTask{g, line, a.x, a.dy, nullptr, b, d, a.dx});
  run.Pool("affine", g.channels,
           AffineTask{PoolOf(g, size, g.rows * g.chunks), parts, line.scale,
                      line.shift, Floats(a.d_gamma), Floats(a.d_beta)});
  return run.failed();
}

}  // namespace keras_norms
