"""Learning tasks on NEST: plasticity rules, parameters and seeds in, fitness and traces out."""
