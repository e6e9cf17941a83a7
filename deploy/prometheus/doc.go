// Package prometheus has no code: its tests hold the rules beside it, and the dashboard in deploy/grafana, to what a running
// onhook exports.
package prometheus
