package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

const masked = "***"

// Secret prints as *** in every format; Reveal is the only way to its content. Keep it in exported fields, as fmt
// cannot ask an unexported one how it wants to be printed, and out of map keys, as encoding/json does not ask those.
type Secret string

// Reveal returns the content.
func (s Secret) Reveal() string { return string(s) }

// String returns ***.
func (Secret) String() string { return masked }

// GoString returns ***.
func (Secret) GoString() string { return masked }

// Format prints *** for every verb.
func (Secret) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, masked) }

// MarshalText returns ***.
func (Secret) MarshalText() ([]byte, error) { return []byte(masked), nil }

// MarshalJSON returns "***".
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + masked + `"`), nil }

// MarshalYAML returns ***.
func (Secret) MarshalYAML() (any, error) { return masked, nil }

// Secrets are the secrets that are valid at the same time, newest first: two live at once is how one is rotated.
// In YAML they are one value or a list, none of them empty.
type Secrets []Secret

// Reveal returns the contents, newest first.
func (s Secrets) Reveal() []string {
	out := make([]string, len(s))
	for i := range s {
		out[i] = s[i].Reveal()
	}
	return out
}

// OrFile is for a pair of keys such as token and token_file: it returns s, or the secrets in the file if path is set.
// It is an error to set both.
func (s Secrets) OrFile(path string) (Secrets, error) {
	switch {
	case path == "":
		return s, nil
	case len(s) > 0:
		return nil, errors.New("set the secret or the file that holds it, not both")
	default:
		return ReadSecretFile(path)
	}
}

// ReadSecretFile reads a file with one secret per line, newest first. White space at the end of a line and blank
// lines are ignored; a file without a secret is an error. A relative path starts from the working directory.
func ReadSecretFile(path string) (Secrets, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read secret file %s: %w", path, withoutPath(err))
	}
	var out Secrets
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimRight(line, " \t\r\n"); line != "" {
			out = append(out, Secret(line))
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("secret file %s is empty; write one secret per line, newest first", path)
	}
	return out, nil
}
