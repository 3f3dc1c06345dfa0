#include "launch.h"

#include <string>

#include "plan.h"

namespace keras_norms {
namespace {

// One function of the table: kernels one after the other until one fails.
class Run {
 public:
  Run(const View& view, Type type, const Truth* mask,
      std::initializer_list<const void*> tensors, Device& device)
      : device_(device),
        width_(WidthOf(view, type, mask, tensors)),
        form_(FormOf(type, width_)),
        geometry_(GeometryOf(view, width_)) {
    if (type == Type::kDouble) failed_ = "float64 is for CPUs alone";
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

LineTask TaskOf(const Line& line) {
  return {Floats(line.tables.center),
          Floats(line.tables.scale),
          Floats(line.tables.shift),
          nullptr,
          nullptr,
          0,
          static_cast<int>(line.function)};
}

LineTask TaskOf(const View& view, const Groups& groups,
                const GroupMoments& moments) {
  return {Floats(moments.mean),
          Floats(moments.inverse),
          Floats(moments.residual),
          Floats(groups.gamma),
          Floats(groups.beta),
          static_cast<int>(view.channels / groups.count),
          static_cast<int>(groups.function)};
}

std::string Moments(const View& view, Type type, const void* x,
                    const Truth* mask, void* count, void* mean, void* variance,
                    void* residual, Device& device) {
  Run run(view, type, mask, {x}, device);
  const Geometry& g = run.geometry();
  MomentsPart* const parts = run.Parts<MomentsPart>();
  run.Pass("moments", MomentsTask{g, x, mask, parts});
  run.Pool("pool_moments", g.rows * g.channels,
           PoolTask{PoolOf(g, 1, g.chunks), parts, -1.0, Floats(count),
                    Floats(mean), Floats(residual), Floats(variance)});
  return run.failed();
}

std::string Apply(const View& view, Type type, const void* x, const Line& line,
                  void* y, Device& device) {
  Run run(view, type, line.mask, {x, y}, device);
  run.LinePass("apply",
               ApplyTask{run.geometry(), TaskOf(line), x, line.mask, y});
  return run.failed();
}

std::string GradientSums(const View& view, Type type, const void* x,
                         const void* dy, const Line& line, void* sum,
                         void* product, Device& device) {
  Run run(view, type, line.mask, {x, dy}, device);
  const Geometry& g = run.geometry();
  SumsPart* const parts = run.Parts<SumsPart>();
  run.LinePass("sums", SumsTask{g, TaskOf(line), x, dy, line.mask, parts});
  run.Pool("pool_sums", g.rows * g.channels,
           PoolSumsTask{PoolOf(g, 1, g.chunks), parts, nullptr, nullptr,
                        nullptr, 0.0, Floats(sum), Floats(product)});
  return run.failed();
}

std::string GradientCombine(const View& view, Type type, const void* x,
                            const void* dy, const Line& line, const void* b,
                            const void* d, void* dx, Device& device) {
  Run run(view, type, line.mask, {x, dy, dx}, device);
  run.LinePass("combine", CombineTask{run.geometry(), TaskOf(line), x, dy,
                                      line.mask, Floats(b), Floats(d), dx});
  return run.failed();
}

std::string GroupNorm(const View& view, Type type, const void* x,
                      const Groups& groups, void* y,
                      const GroupMoments& moments, Device& device) {
  Run run(view, type, nullptr, {x, y}, device);
  const Geometry& g = run.geometry();
  const int64_t size = view.channels / groups.count;
  const LineTask line = TaskOf(view, groups, moments);
  if (run.Fused(view, {{},
                       line,
                       x,
                       y,
                       groups.epsilon,
                       Floats(moments.mean),
                       Floats(moments.residual),
                       Floats(moments.inverse)})) {
    return run.failed();
  }
  MomentsPart* const parts = run.Parts<MomentsPart>();
  run.Pass("moments", MomentsTask{g, x, nullptr, parts});
  run.Pool("pool_moments", g.rows * groups.count,
           PoolTask{PoolOf(g, size, size * g.chunks), parts, groups.epsilon,
                    nullptr, Floats(moments.mean), Floats(moments.residual),
                    Floats(moments.inverse)});
  run.LinePass("apply", ApplyTask{g, line, x, nullptr, y});
  return run.failed();
}

std::string GroupNormGradient(const View& view, Type type, const void* x,
                              const void* dy, const Groups& groups,
                              const GroupMoments& moments, void* dx,
                              void* d_gamma, void* d_beta, Device& device) {
  Run run(view, type, nullptr, {x, dy, dx}, device);
  const Geometry& g = run.geometry();
  const int64_t size = view.channels / groups.count;
  const LineTask line = TaskOf(view, groups, moments);
  // b and d lie behind the parts.
  const int64_t tables = g.rows * groups.count;
  SumsPart* const parts = run.Parts<SumsPart>(tables);
  float* const b = reinterpret_cast<float*>(parts + PartsOf(g));
  float* const d = b + tables;
  run.LinePass("sums", SumsTask{g, line, x, dy, nullptr, parts});
  run.Pool("pool_sums", tables,
           PoolSumsTask{PoolOf(g, size, size * g.chunks), parts, line.scale,
                        line.shift, line.gamma,
                        static_cast<double>(size * view.positions()), b, d});
  run.LinePass("combine", CombineTask{g, line, x, dy, nullptr, b, d, dx});
  run.Pool("affine", g.channels,
           AffineTask{PoolOf(g, size, g.rows * g.chunks), parts, line.scale,
                      line.shift, Floats(d_gamma), Floats(d_beta)});
  return run.failed();
}

}  // namespace

const DeviceKernels& OnDevice() {
  static const DeviceKernels kernels = {Moments,      Apply,
                                        GradientSums, GradientCombine,
                                        GroupNorm,    GroupNormGradient};
  return kernels;
}

}  // namespace keras_norms
