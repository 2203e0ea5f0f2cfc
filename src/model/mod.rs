//! HyperSIGMA, one idea a file.
