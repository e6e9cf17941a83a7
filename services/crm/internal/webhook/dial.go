package webhook

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

var errPrivate = errors.New("its address is not of the public internet; say allow_private: true if it is meant to be within your own network")

// unicast is where all public IPv6 addresses are: nothing else was ever allocated.
// https://www.iana.org/assignments/ipv6-address-space
var unicast = netip.MustParsePrefix("2000::/3")

// private is what is not the public internet beyond what package netip knows as such, and unicast leaves out.
// https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry
var private = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),        // this host
	netip.MustParsePrefix("100.64.0.0/10"),    // carriers' NAT, and a cloud's metadata
	netip.MustParsePrefix("168.63.129.16/32"), // a cloud's metadata
	netip.MustParsePrefix("192.0.0.0/24"),     // protocol assignments
	netip.MustParsePrefix("192.0.2.0/24"),     // documentation
	netip.MustParsePrefix("192.88.99.0/24"),   // relays of 6to4, as they once were
	netip.MustParsePrefix("198.18.0.0/15"),    // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"),  // documentation
	netip.MustParsePrefix("203.0.113.0/24"),   // documentation
	netip.MustParsePrefix("240.0.0.0/4"),      // reserved, and broadcast
	netip.MustParsePrefix("2001::/23"),        // protocol assignments, Teredo among them
	netip.MustParsePrefix("2001:db8::/32"),    // documentation
	netip.MustParsePrefix("2002::/16"),        // 6to4: IPv4 in IPv6
	netip.MustParsePrefix("3fff::/20"),        // documentation
}

func isPublic(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	if !ip.IsGlobalUnicast() || ip.IsPrivate() { // neither loopback, link-local, multicast nor unspecified
		return false
	}
	if ip.Is6() && !unicast.Contains(ip) {
		return false
	}
	for _, p := range private {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}

// onlyPublic refuses a connection by the address that it is about to be made to: whatever the name resolved to, however
// often that changes.
func onlyPublic(_, address string, _ syscall.RawConn) error {
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("not an address: %w", err)
	}
	if !isPublic(addr.Addr()) {
		return errPrivate
	}
	return nil
}

// transport connects to the endpoint itself: a proxy would resolve its name where nobody looks at the address.
func transport(cfg Config) *http.Transport {
	d := &net.Dialer{Timeout: min(cfg.Timeout, 10*time.Second), KeepAlive: 30 * time.Second}
	if !cfg.AllowPrivate {
		d.Control = onlyPublic
	}
	return &http.Transport{
		Proxy:                 nil,
		DialContext:           d.DialContext,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   10 * time.Second,
		MaxIdleConnsPerHost:   cfg.Connections * 3, // of a batch each, and of what comes again
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true, // the answer is not read
	}
}
