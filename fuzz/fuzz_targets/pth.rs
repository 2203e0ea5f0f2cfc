//! A checkpoint in the legacy format of PyTorch, from its object on.
#![no_main]

sigmascope_fuzz::one_weights_file!(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.");
