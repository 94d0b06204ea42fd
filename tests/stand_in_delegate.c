// An external delegate of TFLite for tests. It takes every NEG, and computes it on the processor.
//
// Its options: take=nothing leaves all operators; answer=wrong adds one to every number; load=fail does not load. Of the
// interface it declares what it uses, in the order in which the interface has it.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { kOk = 0, kNeg = 59 };
typedef struct { int size; int data[]; } IntArray;
typedef struct Context Context;
typedef struct Delegate Delegate;
typedef struct Node { IntArray *inputs, *outputs, *intermediates, *temporaries; void *user_data; } Node;
typedef struct Tensor {
    int type;
    union { float *f; void *raw; } data;
    IntArray *dims;
    struct { float scale; int32_t zero_point; } params;
    int allocation_type;
    size_t bytes;
    const void *allocation;
    const char *name;
    Delegate *delegate;
    int buffer_handle;
    _Bool data_is_stale, is_variable;
    struct { int type; void *params; } quantization;
    void *sparsity;
    const IntArray *dims_signature;
} Tensor;
typedef struct Registration {
    void *(*init)(Context *, const char *, size_t);
    void (*free)(Context *, void *);
    int (*prepare)(Context *, Node *);
    int (*invoke)(Context *, Node *);
    const char *(*profiling_string)(const Context *, const Node *);
    int32_t builtin_code;
    const char *custom_name;
    int version;
    void *registration_external, *async_kernel;
    uint64_t inplace_operator;
} Registration;
struct Context {
    size_t tensors_size;
    int (*GetExecutionPlan)(Context *, IntArray **);
    Tensor *tensors;
    void *impl_;
    int (*ResizeTensor)(Context *, Tensor *, IntArray *);
    void (*ReportError)(Context *, const char *, ...);
    int (*AddTensors)(Context *, int, int *);
    int (*GetNodeAndRegistration)(Context *, int, Node **, Registration **);
    int (*ReplaceNodeSubsetsWithDelegateKernels)(Context *, Registration, const IntArray *, Delegate *);
};
struct Delegate {
    void *data_;
    int (*Prepare)(Context *, Delegate *);
    void *CopyFromBufferHandle, *CopyToBufferHandle, *FreeBufferHandle;
    int64_t flags;
    void *opaque_delegate_builder;
};

static int takes = 1;
static float added = 0;

static void *init(Context *context, const char *buffer, size_t length) { return 0; }
static void release(Context *context, void *buffer) {}
static int prepare(Context *context, Node *node) { return kOk; }

static int invoke(Context *context, Node *node) {
    Tensor *from = &context->tensors[node->inputs->data[0]], *to = &context->tensors[node->outputs->data[0]];
    int count = 1;
    for (int axis = 0; axis < from->dims->size; ++axis) count *= from->dims->data[axis];
    for (int place = 0; place < count; ++place) to->data.f[place] = added - from->data.f[place];
    return kOk;
}

static int take(Context *context, Delegate *delegate) {
    IntArray *plan;
    if (context->GetExecutionPlan(context, &plan) != kOk) return 1;
    IntArray *mine = malloc(sizeof(int) * (1 + plan->size));
    mine->size = 0;
    for (int place = 0; place < plan->size; ++place) {
        Node *node;
        Registration *found;
        context->GetNodeAndRegistration(context, plan->data[place], &node, &found);
        if (takes && found->builtin_code == kNeg) mine->data[mine->size++] = plan->data[place];
    }
    Registration kernel = {.init = init, .free = release, .prepare = prepare, .invoke = invoke,
                           .builtin_code = 51, .custom_name = "StandIn", .version = 1};
    int status = context->ReplaceNodeSubsetsWithDelegateKernels(context, kernel, mine, delegate);
    free(mine);
    return status;
}

Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
    takes = 1, added = 0;
    for (size_t place = 0; place < count; ++place) {
        if (!strcmp(keys[place], "take")) takes = strcmp(values[place], "nothing") != 0;
        if (!strcmp(keys[place], "answer")) added = strcmp(values[place], "wrong") ? 0 : 1;
        if (!strcmp(keys[place], "load") && !strcmp(values[place], "fail")) return 0;
    }
    Delegate *delegate = calloc(1, sizeof(Delegate));
    delegate->Prepare = take;
    return delegate;
}

void tflite_plugin_destroy_delegate(Delegate *delegate) { free(delegate); }
