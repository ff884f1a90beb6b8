// What follows batch normalization: ReLU. Not a number passes: a network that diverges must not look well.

fn activation(x: f32) -> f32 {
    return select(x, 0.0, x <= 0.0);
}

// The gradient of x by that of its activation, which is passed on or not: an infinite one times zero would be no number.
fn back(x: f32, dy: f32) -> f32 {
    return select(dy, 0.0, x <= 0.0);
}
