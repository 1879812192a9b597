"""pprof's protocol buffers (google/pprof, proto/profile.proto): the wire format, the profile, what its samples count."""
