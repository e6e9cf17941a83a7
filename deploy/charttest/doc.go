// Package charttest holds deploy/chart to what it promises: it renders the chart with helm, gives what comes out to an API
// server and to the services' binaries, and keeps the chart's schema the same as the services' configuration.
package charttest
