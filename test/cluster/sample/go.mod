module tpx.dev/test/cluster/sample

go 1.22
