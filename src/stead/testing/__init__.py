"""For our own tests and for those who build against Stead: faulty transports, proxies, a control plane driven by hand."""
