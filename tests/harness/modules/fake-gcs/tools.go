//go:build tools

// Package tools names the main packages, so that `go mod tidy` keeps what they need.
package tools

import (
	_ "github.com/fsouza/fake-gcs-server"
)
