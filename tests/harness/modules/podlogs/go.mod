// The logs of fake pods, with nothing but Go's own packages.
module trainyard.dev/harness/podlogs

go 1.25.0
