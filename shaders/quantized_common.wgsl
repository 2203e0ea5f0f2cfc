// Frozen linear layers, y = activation(x W^T + b): what their kernels share. The text is put before each of them, and after
// it one of the texts quantized_weights_*.wgsl.
//
// Names in double braces are filled in when the pipeline is built, so that every loop has a constant bound.
//   x [M, K], y [M, N], W [N, K], all row-major in the model; M rows, K inputs (a multiple of 32), N outputs.
// A matrix may lie in several parts, each a range of outputs and a dispatch of its own. Four outputs of a part make a quad,
// the last filled up with zero weights; four numbers along k are read at a time ("a four").
// Inputs are bound read_write natively, where several tensors share one buffer, and read in the browser.

const ROWS: u32 = {{ rows }}u;           // M
const INPUTS: u32 = {{ inputs }}u;       // K
const ALL_OUTPUTS: u32 = {{ all }}u;     // N
const FIRST: u32 = {{ first }}u;         // first output of the part
const OUTPUTS: u32 = {{ outputs }}u;     // outputs of the part
const QUADS: u32 = (OUTPUTS + 3u) / 4u;
const FOURS: u32 = INPUTS / 4u;
const BLOCKS: u32 = INPUTS / 32u;
