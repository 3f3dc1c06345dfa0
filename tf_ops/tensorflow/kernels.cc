// TensorFlow's kernels of all operations: tensors are validated, outputs
// allocated, and pointers passed on. `On` is the kind of device.

#include <string>
#include <vector>

#include "attributes.h"
#include "device_traits.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace keras_norms {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

template <class On, class T, class Arguments>
class Kernel : public OpKernel {
 public:
  explicit Kernel(OpKernelConstruction* construction) : OpKernel(construction) {
    OP_REQUIRES_OK(construction,
                   ReadAttributes(construction, operation_, &attributes_));
  }

  void Compute(OpKernelContext* context) override {
    std::vector<Shape> shapes;
    std::vector<void*> tensors;
    for (int i = 0; i < context->num_inputs(); ++i) {
      const Tensor& input = context->input(i);
      shapes.push_back(SizesOf(input.shape()));
      tensors.push_back(input.NumElements() > 0 ? input.data() : nullptr);
    }
    OP_REQUIRES_OK(context,
                   StatusOf(Validate(operation_, attributes_, shapes)));
    const Sizes& x = *shapes[0];
    for (size_t i = 0; i < operation_.outputs.size(); ++i) {
      Tensor* output;
      OP_REQUIRES_OK(context,
                     Allocate(context, static_cast<int>(i), x, &output));
      tensors.push_back(output->data());
    }
    Arguments arguments;
    static_cast<CommonArguments&>(arguments) = CommonArgumentsOf(
        x, TypeOf(tensorflow::DataTypeToEnum<T>::value), attributes_);
    Bind(tensors.data(), &arguments);
    OP_REQUIRES_OK(context, On::Run(context, arguments));
  }

 private:
  absl::Status Allocate(OpKernelContext* context, int i, const Sizes& x,
                        Tensor** output) const {
    const Extent extent = operation_.outputs[i].extent;
    const TensorShape shape(SizesOf(extent, x, attributes_));
    if (extent != Extent::kLikeX || operation_.overwritable < 0) {
      return context->allocate_output(i, shape, output);
    }
    return context->forward_input_or_allocate_output({operation_.overwritable},
                                                     i, shape, output);
  }

  const Operation& operation_ = OperationOf<Arguments>();
  Attributes attributes_;
};

#define KERAS_NORMS_REGISTER(name, On, T, S)           \
  REGISTER_KERNEL_BUILDER(Name("KerasNorms>" #name)    \
                              .Device(On::kDevice)     \
                              .TypeConstraint<T>("T")  \
                              .TypeConstraint<S>("S"), \
                          Kernel<On, T, name##Arguments>);
#define KERAS_NORMS_OPERATION(Name, ...)                    \
  KERAS_NORMS_REGISTER(Name, OnCpu, float, float)           \
  KERAS_NORMS_REGISTER(Name, OnCpu, double, double)         \
  KERAS_NORMS_REGISTER(Name, OnCpu, Eigen::half, float)     \
  KERAS_NORMS_REGISTER(Name, OnCpu, Eigen::bfloat16, float)
#include "../contract/operations.def"

#define KERAS_NORMS_FOR_GPUS
#define KERAS_NORMS_OPERATION(Name, ...)                    \
  KERAS_NORMS_REGISTER(Name, OnGpu, float, float)           \
  KERAS_NORMS_REGISTER(Name, OnGpu, Eigen::half, float)     \
  KERAS_NORMS_REGISTER(Name, OnGpu, Eigen::bfloat16, float)
#include "../contract/operations.def"

}  // namespace
}  // namespace keras_norms
