module trainyard.dev/harness/pause

go 1.25.0
