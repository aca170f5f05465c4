"""NDS, the network design spaces: DARTS, ENAS, PNAS, NASNet and AmoebaNet, their networks and super-nets."""
