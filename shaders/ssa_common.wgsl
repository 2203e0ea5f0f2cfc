// Sparse sampling attention: what all its kernels share. The text is put before each of them.
//
// Names in double braces are filled in when the pipeline is built, so that every loop has a constant bound.
//   B images, H heads, N = ROWS * COLS tokens (token = row * COLS + col), D channels of a head, P points of a query.
//   q, k, v [B, H, N, D]; offsets [B, H, N, P] of (dx, dy); out [B, N, H * D]; all row-major float32.
// A "plane" is one [N, D] table (batch * H + head), a "query" one token of one plane (plane * N + token).
// A row of D channels is read as LANES vectors: vec4 when D is a multiple of 4, single floats otherwise.
// Inputs are bound read_write natively, where several tensors share one buffer, and read in the browser.

const BATCH: u32 = {{ batch }}u;
const HEADS: u32 = {{ heads }}u;
const ROWS: u32 = {{ rows }}u;
const COLS: u32 = {{ cols }}u;
const TOKENS: u32 = ROWS * COLS;
const PLANES: u32 = BATCH * HEADS;
const QUERIES: u32 = PLANES * TOKENS;
const POINTS: u32 = {{ points }}u;
const LANES: u32 = {{ lanes }}u;
const SCALE: f32 = {{ scale }};          // D^-1/2
const GROUP: u32 = 64u;                  // invocations of a workgroup

alias Lane = {{ lane }};

// The product sum of two lanes.
fn inner(a: Lane, b: Lane) -> f32 {
    return {{ inner }};
}

// Where a point of a query samples: (x, y) = (col + dx, row + dy). Far outside is drawn in to just outside, where nothing
// is sampled either, so that positions convert to integers safely.
fn position(token: u32, offset: vec2<f32>) -> vec2<f32> {
    let cell = vec2<f32>(f32(token % COLS), f32(token / COLS));
    return clamp(cell + offset, vec2<f32>(-2.0, -2.0), vec2<f32>(f32(COLS) + 1.0, f32(ROWS) + 1.0));
}

// The four cells around a position (left to right, then top to bottom), their bilinear weights, and the weights'
// derivatives along x and y. A cell outside the grid is cell 0 with zeros.
struct Corners {
    cell: vec4<u32>,
    weight: vec4<f32>,
    slope_x: vec4<f32>,
    slope_y: vec4<f32>,
}

fn corners(at: vec2<f32>) -> Corners {
    let first = floor(at);
    let f = at - first;
    let left = i32(first.x);
    let top = i32(first.y);
    let xs = vec4<i32>(left, left + 1, left, left + 1);
    let ys = vec4<i32>(top, top, top + 1, top + 1);
    let inside = (xs >= vec4<i32>(0)) & (xs < vec4<i32>(i32(COLS))) & (ys >= vec4<i32>(0)) & (ys < vec4<i32>(i32(ROWS)));
    let wx = vec4<f32>(1.0 - f.x, f.x, 1.0 - f.x, f.x);
    let wy = vec4<f32>(1.0 - f.y, 1.0 - f.y, f.y, f.y);
    let none = vec4<f32>(0.0);
    var c: Corners;
    c.cell = select(vec4<u32>(0u), vec4<u32>(ys * i32(COLS) + xs), inside);
    c.weight = select(none, wx * wy, inside);
    c.slope_x = select(none, vec4<f32>(-1.0, 1.0, -1.0, 1.0) * wy, inside);
    c.slope_y = select(none, vec4<f32>(-1.0, -1.0, 1.0, 1.0) * wx, inside);
    return c;
}

// Where a query's row of H * D channels starts in `out`, as an index of lanes: [B, N, H, LANES].
fn out_row(query: u32) -> u32 {
    let plane = query / TOKENS;
    let token = query % TOKENS;
    return (((plane / HEADS) * TOKENS + token) * HEADS + plane % HEADS) * LANES;
}
