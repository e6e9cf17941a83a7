package config

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// expand replaces ${NAME} from the environment and returns the names that it used. $${ is a literal ${. It works on
// a value after the file is parsed, and once: what a variable holds is text, neither YAML nor a variable again.
func expand(text string) (string, []string, error) {
	if !strings.Contains(text, "${") {
		return text, nil, nil
	}
	var out strings.Builder
	var names []string
	for rest := text; rest != ""; {
		switch {
		case strings.HasPrefix(rest, "$${"):
			out.WriteString("${")
			rest = rest[len("$${"):]
		case strings.HasPrefix(rest, "${"):
			name, after, closed := strings.Cut(rest[len("${"):], "}")
			if !closed || !isVariable(name) {
				return "", nil, errors.New("${ wants the name of an environment variable and a }; write $${ for a literal ${")
			}
			value, ok := os.LookupEnv(name)
			if !ok {
				return "", nil, fmt.Errorf("environment variable %s is not set", name)
			}
			out.WriteString(value)
			names = append(names, name)
			rest = after
		default:
			out.WriteByte(rest[0])
			rest = rest[1:]
		}
	}
	return out.String(), names, nil
}

// isVariable reports whether a shell could set a variable of this name.
func isVariable(name string) bool {
	for i, r := range name {
		letter := r == '_' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z'
		if !letter && (i == 0 || r < '0' || '9' < r) {
			return false
		}
	}
	return name != ""
}
