//! From raw samples to the network's input: scaling, PCA, tiles.
