// What follows batch normalization: GELU, x times the share of a normal distribution below x (Hendrycks and Gimpel, 2016).
// The CPU twin, which says where the numbers come from, is src/compute/cpu/kernels/gelu.rs.

const END: f32 = 5.5;
const SHARE_P = array<f32, 6>(0.398942232, 0.0338526480, 0.00467726029, 0.000168825602, 6.35210836e-6, 2.27493508e-8);
const SHARE_Q = array<f32, 6>(1.0, 0.251521915, 0.0286458712, 0.00188444450, 7.36474249e-5, 1.19750280e-6);
const SLOPE_P = array<f32, 6>(0.797885299, -0.0309439264, 0.0142190410, 2.05929227e-5, 3.58032266e-5, 1.90872569e-7);
const SLOPE_Q = array<f32, 6>(1.0, 0.294558734, 0.0409885161, 0.00352182030, 0.000192060324, 8.88713203e-6);

// 1/2 + x p(x^2) / q(x^2); below all that counts, 0.
fn curve(x: f32, p: array<f32, 6>, q: array<f32, 6>) -> f32 {
    if x <= -END {
        return 0.0;
    }
    // Not a number stays none.
    let inside = select(x, END, x >= END);
    let s = inside * inside;
    let above = p[0] + s * (p[1] + s * (p[2] + s * (p[3] + s * (p[4] + s * p[5]))));
    let below = q[0] + s * (q[1] + s * (q[2] + s * (q[3] + s * (q[4] + s * q[5]))));
    return 0.5 + inside * above / below;
}

fn activation(x: f32) -> f32 {
    return x * curve(x, SHARE_P, SHARE_Q);
}

// The gradient of x by that of its activation.
fn back(x: f32, dy: f32) -> f32 {
    return dy * curve(x, SLOPE_P, SLOPE_Q);
}
