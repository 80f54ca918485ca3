package consul

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatOthersConnectTo(t *testing.T) {
	for _, c := range []struct{ advertise, listen, want string }{
		{"", "127.0.0.11:3901", "127.0.0.11:3901"},
		{"home.example", "0.0.0.0:3901", "home.example:3901"},
		{"192.0.2.1", "[::]:3901", "192.0.2.1:3901"},
		{"2001:db8::1", ":3901", "[2001:db8::1]:3901"},
		{"[2001:db8::1]:9", ":3901", "[2001:db8::1]:9"},
		{"192.0.2.1:9000", "10.0.0.1:3901", "192.0.2.1:9000"},
	} {
		config := Config{Prefix: "garage", Advertise: c.advertise}
		require.NoError(t, config.Validate(), c.advertise)
		got, err := config.Address("rpc.listen", c.listen)
		require.NoError(t, err)
		require.Equal(t, c.want, got)
	}
	config := Config{}
	for _, listen := range []string{":3901", "0.0.0.0:3901", "[::]:3901"} {
		_, err := config.Address("rpc.listen", listen)
		require.ErrorContains(t, err, "consul.advertise", listen)
		_, err = config.AdminAddress(listen)
		require.ErrorContains(t, err, "consul.advertise-admin", listen)
	}
	config.Advertise = "192.0.2.1:9000"
	admin, err := config.AdminAddress("0.0.0.0:3911")
	require.NoError(t, err)
	require.Equal(t, "192.0.2.1:3911", admin, "the host is the same, the port is its own")
	config.AdvertiseAdmin = "127.0.0.1:9001"
	admin, err = config.AdminAddress("0.0.0.0:3911")
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:9001", admin)
}

func TestSettingsThatCannotBeAreRefused(t *testing.T) {
	for _, c := range []Config{{}, {Prefix: "/"}, {Prefix: "a//b"}, {Prefix: "a", Advertise: "0.0.0.0:1"}, {Prefix: "a", Advertise: "a:b:c"}, {Prefix: "a", AdvertiseAdmin: ":1"}} {
		require.Error(t, c.Validate(), "%+v", c)
	}
	c := DefaultConfig()
	require.NoError(t, c.Validate())
}
