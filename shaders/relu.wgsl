// What follows batch normalization: ReLU. Not a number passes: a network that diverges must not look well.

fn activation(x: f32) -> f32 {
    return select(x, 0.0, x <= 0.0);
}

// By which a gradient is multiplied on its way back.
fn slope(x: f32) -> f32 {
    return select(1.0, 0.0, x <= 0.0);
}
