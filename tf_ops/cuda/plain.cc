#include "plain.h"

#include <string>

#include "driver.h"

namespace keras_norms {
namespace {

std::string Called(const std::string& kernel, const KerasNormsCall& c) {
  Stream stream(c.stream, [&](size_t bytes) {
    return bytes <= static_cast<size_t>(c.scratch_bytes) ? c.scratch : nullptr;
  });
  const DeviceKernels& on = OnDevice();
  const View view = {c.rows, c.outer, c.channels, c.inner};
  const Type type = static_cast<Type>(c.type);
  const Activation function = static_cast<Activation>(c.function);
  const Line line = {{c.center, c.scale, c.shift}, function, c.mask};
  const Groups groups = {c.groups, c.epsilon, function, c.gamma, c.beta};
  const GroupMoments moments = {c.mean, c.residual, c.inverse};
  if (kernel == "moments") {
    return on.moments(view, type, c.x, c.mask, c.count, c.mean, c.variance,
                      c.residual, stream);
  }
  if (kernel == "apply") {
    return on.apply(view, type, c.x, line, c.result, stream);
  }
  if (kernel == "gradient_sums") {
    return on.gradient_sums(view, type, c.x, c.dy, line, c.sum, c.product,
                            stream);
  }
  if (kernel == "gradient_combine") {
    return on.gradient_combine(view, type, c.x, c.dy, line, c.b, c.d, c.result,
                               stream);
  }
  if (kernel == "group_norm") {
    return on.group_norm(view, type, c.x, groups, c.result, moments, stream);
  }
  if (kernel == "group_norm_gradient") {
    return on.group_norm_gradient(view, type, c.x, c.dy, groups, moments,
                                  c.result, c.d_gamma, c.d_beta, stream);
  }
  return "there is no kernel " + kernel;
}

}  // namespace
}  // namespace keras_norms

const char* keras_norms_run(const char* kernel, const KerasNormsCall* call) {
  thread_local std::string wrong;
  wrong = keras_norms::Called(kernel, *call);
  return wrong.empty() ? nullptr : wrong.c_str();
}
