package config_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// hunter2 is in the environment of every test and must be in no error.
const hunter2 = "hunter2-\"x\": {y}"

// TestMain sets the environment once, so that the tests can run in parallel.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{
		"TEST_REPLICAS": "3",
		"TEST_TRUE":     "true",
		"TEST_TIMEOUT":  "8s",
		"TEST_SIZE":     "8MiB",
		"TEST_SECRET":   hunter2,
		"TEST_EMPTY":    "",
		"TEST_YAML":     "a\nreplicas: 7 # ${TEST_SECRET}",
		"test_lower_1":  "lower",
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	if err := os.Unsetenv("TEST_UNSET"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}
