package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// unknown says that a key or section does not exist, and which is meant or, if none is near, which there are.
func unknown(what, key, path string, valid []string) error {
	message := fmt.Sprintf("unknown %s %s", what, quoteKey(key))
	if path != "" {
		message += " in " + path
	}
	if near := nearest(key, valid); near != "" {
		return fmt.Errorf("%s; did you mean %q?", message, near)
	}
	if len(valid) == 0 {
		return errors.New(message + "; there are none")
	}
	return fmt.Errorf("%s; there are %s", message, strings.Join(valid, ", "))
}

// nearest is the valid key with the fewest typing mistakes from key, if they are few enough for it to be meant.
func nearest(key string, valid []string) string {
	best, bestDistance := "", 2+len(key)/4 // one mistake in a key of three letters, three in one of eight
	if len(key) > 64 {
		return best
	}
	for _, v := range valid {
		if d := distance(strings.ToLower(key), v); d < bestDistance {
			best, bestDistance = v, d
		}
	}
	return best
}

// distance counts the letters to insert, delete, replace or swap with their neighbour to get from a to b.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			rows[i][j] = min(replace, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// quoteKey makes a key from the file fit for a message.
func quoteKey(key string) string { return strconv.Quote(shorten(key)) }

// printableKey is quoteKey without the quotes where none are needed.
func printableKey(key string) string {
	if q := quoteKey(key); q != `"`+key+`"` {
		return q
	}
	return key
}

func shorten(key string) string {
	if len(key) > 64 {
		return strings.ToValidUTF8(key[:64], "") + "…"
	}
	return key
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
