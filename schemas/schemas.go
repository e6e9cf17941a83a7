// Package schemas holds onhook's contracts as files: the canonical call, the HTTP surface, the streams, and each
// provider's payloads with examples and the calls they decode to.
package schemas

import "embed"

// FS holds every contract, by its path in this folder.
//
//go:embed *.json *.yaml all:provider
var FS embed.FS
