//! How much of a row's attention each key takes, as the device computes it and does not tell token by token.

/// The shares of a query's attention: softmax of query · key / √width over the keys, in `shares`.
pub fn shares<'k>(query: &[f32], keys: impl Iterator<Item = &'k [f32]>, shares: &mut Vec<f32>) {
    let scale = 1.0 / (query.len() as f32).sqrt();
    shares.clear();
    shares.extend(keys.map(|key| dot(query, key) * scale));
    softmax(shares);
}

/// Makes scores shares.
pub fn softmax(scores: &mut [f32]) {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - most).exp();
        sum += *score;
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// Keeps the places whose numbers are the greatest, in order; of equals the later one.
pub fn keep_greatest(places: &mut Vec<u32>, numbers: &[f32], most: usize) {
    let number = |place: u32| numbers[place as usize];
    places.sort_unstable_by(|&a, &b| number(b).total_cmp(&number(a)).then(b.cmp(&a)));
    places.truncate(most);
    places.sort_unstable();
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    // Chains beside each other, so that none waits for the one before it.
    let mut sums = [0.0f32; 4];
    for (a, b) in a.chunks(4).zip(b.chunks(4)) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_stay_and_of_equals_the_latest() {
        let mass = [0.9, 0.1, 0.5, 0.1, 0.0, 0.7];
        let mut tokens = vec![0, 1, 2, 3, 4, 5];
        keep_greatest(&mut tokens, &mass, 4);
        assert_eq!(tokens, [0, 2, 3, 5]);
        keep_greatest(&mut tokens, &mass, 9);
        assert_eq!(tokens, [0, 2, 3, 5]);
    }

    #[test]
    fn shares_are_a_softmax() {
        let keys: [&[f32]; 3] = [&[2.0, 0.0, 0.0, 0.0], &[0.0, 9.0, 9.0, 9.0], &[-2.0, 0.0, 0.0, 0.0]];
        let mut found = Vec::new();
        shares(&[1.0, 0.0, 0.0, 0.0], keys.into_iter(), &mut found);
        let e = std::f32::consts::E;
        let sum = e + 1.0 + 1.0 / e;
        for (found, expected) in found.iter().zip([e / sum, 1.0 / sum, 1.0 / e / sum]) {
            assert!((found - expected).abs() < 1e-6);
        }
        assert!((dot(&[1.0, 2.0, 3.0, 4.0, 5.0], &[1.0, 1.0, 1.0, 1.0, 2.0]) - 20.0).abs() < 1e-6);
    }
}
