// The arithmetic of the error-driven learning task in one loop, without NEST: what the simulation
// could cost at best. Prints seconds of processor time per rule and the error of the last rule in mV.
//
// Usage: limit FILE N_RULES WEIGHT... FILE holds pairs of 64-bit integers: the step in which a spike
// arrives, and its input; ordered by step. The weights are those of the teacher, one per input.

#include "slice_propagator.h"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

namespace
{

constexpr double h = 0.01;
constexpr long n_slices = 10000;
constexpr long slice_steps = 100;
constexpr long target_slices = 5;
constexpr double E_L = -70.0;
constexpr double eta = 1.7;
constexpr double tau_I = 100.0;

using Steps = std::vector< double >;

struct Arrival
{
  std::int64_t step;
  std::int64_t input;
};

struct Neuron
{
  double V = 0.0;
  double I = 0.0;
};

struct Synapse
{
  double weight = 5.0;
  double sent = 5.0; // weight at the beginning of the slice
  double psp = 0.0;
  double psc = 0.0;
  double I = 0.0;
};

//! Sum of the products, in four independent chains as in us_sympy_synapse.cpp.
double
dot( const double* const a, const double* const b )
{
  double sum[ 4 ] = { 0.0, 0.0, 0.0, 0.0 };
  for ( long k = 0; k < slice_steps; k += 4 )
  {
    for ( int i = 0; i < 4; ++i )
    {
      sum[ i ] += a[ k + i ] * b[ k + i ];
    }
  }
  return ( sum[ 0 ] + sum[ 1 ] ) + ( sum[ 2 ] + sum[ 3 ] );
}

//! Advance a neuron by a slice, in which spikes arrive; write its potential in each step.
template < typename Weight >
std::vector< Arrival >::const_iterator
update( const e2l::SlicePropagator& propagator,
  Neuron& neuron,
  std::vector< Arrival >::const_iterator arrival,
  const long begin,
  Weight weight,
  Steps& u )
{
  long lag = 0;
  while ( arrival->step < begin + slice_steps )
  {
    const long next = arrival->step - begin + 1;
    propagator.advance( neuron.V, neuron.I, E_L, next - lag, u.data() + lag );
    for ( ; arrival->step - begin + 1 == next; ++arrival )
    {
      neuron.I += weight( arrival->input );
    }
    lag = next;
  }
  propagator.advance( neuron.V, neuron.I, E_L, slice_steps - lag, u.data() + lag );
  return arrival;
}

} // namespace

// The module takes one of these from NEST's library.
void
e2l::SlicePropagator::calibrate( const double tau_syn,
  const double tau_m,
  const double C_m,
  const double step,
  const long n )
{
  const double P11 = std::exp( -step / tau_syn );
  const double P22 = std::exp( -step / tau_m );
  const double P21 = ( P22 - P11 ) * tau_syn * tau_m / ( C_m * ( tau_m - tau_syn ) );
  double leak = 1.0;
  double transfer = 0.0;
  double decay = 1.0;
  for ( long k = 0; k < n; ++k )
  {
    leak_.push_back( leak *= P22 );
    transfer_.push_back( transfer = transfer * P22 + decay * P21 );
    decay_.push_back( decay *= P11 );
  }
}

int
main( const int argc, char** argv )
{
  const int n_rules = std::atoi( argv[ 2 ] );
  const int n_inputs = argc - 3;
  Steps teacher_weights;
  for ( int input = 0; input < n_inputs; ++input )
  {
    teacher_weights.push_back( std::atof( argv[ 3 + input ] ) );
  }
  std::vector< Arrival > all;
  std::vector< std::vector< long > > trains( n_inputs );
  std::FILE* const file = std::fopen( argv[ 1 ], "rb" );
  Arrival spike;
  while ( std::fread( &spike, sizeof spike, 1, file ) == 1 )
  {
    all.push_back( spike );
    trains[ spike.input ].push_back( spike.step );
  }
  std::fclose( file );
  // Sentinels.
  all.push_back( { n_slices * slice_steps, 0 } );
  for ( std::vector< long >& train : trains )
  {
    train.push_back( n_slices * slice_steps );
  }

  const std::clock_t start = std::clock();
  e2l::SlicePropagator propagator;
  propagator.calibrate( 2.0, 10.0, 250.0, h, slice_steps );
  // Current at the end of a slice and its sum over the slice are weighted sums of the rule.
  const double PI = std::exp( -h / tau_I );
  Steps to_I( slice_steps );
  Steps to_I_sum( slice_steps );
  double decay = 1.0;
  double decay_sum = 0.0;
  double sum = 0.0;
  for ( long k = slice_steps - 1; k >= 0; --k )
  {
    to_I[ k ] = ( 1.0 - PI ) * decay;
    to_I_sum[ k ] = sum += to_I[ k ];
    decay *= PI;
    decay_sum += decay;
  }

  Steps u( slice_steps );
  Steps s( slice_steps );
  Steps delta_w( slice_steps );
  Steps target( n_slices );
  Steps teacher_V( n_slices );
  Neuron teacher;
  auto arrival = all.cbegin();
  for ( long slice = 0; slice < n_slices; ++slice )
  {
    const auto weight = [ & ]( const std::int64_t input ) { return teacher_weights[ input ]; };
    arrival = update( propagator, teacher, arrival, slice * slice_steps, weight, u );
    target[ slice ] = slice % target_slices == 0 ? u[ 0 ] : target[ slice - 1 ];
    teacher_V[ slice ] = u[ slice_steps - 1 ];
  }

  double error = 0.0;
  for ( int rule = 0; rule < n_rules; ++rule )
  {
    const double factor = 1.0 + 0.01 * rule;
    Neuron student;
    std::vector< Synapse > synapses( n_inputs );
    std::vector< std::vector< long >::const_iterator > next( n_inputs );
    for ( int input = 0; input < n_inputs; ++input )
    {
      next[ input ] = trains[ input ].cbegin();
    }
    arrival = all.cbegin();
    error = 0.0;
    for ( long slice = 0; slice < n_slices; ++slice )
    {
      const long begin = slice * slice_steps;
      const auto weight = [ & ]( const std::int64_t input ) { return synapses[ input ].sent; };
      arrival = update( propagator, student, arrival, begin, weight, u );
      if ( slice >= n_slices / 10 )
      {
        const double difference = u[ slice_steps - 1 ] - teacher_V[ slice ];
        error += difference * difference;
      }
      if ( slice % target_slices == 0 )
      {
        u[ 0 ] = E_L;
      }
      const double v = target[ slice ];
      for ( int input = 0; input < n_inputs; ++input )
      {
        Synapse& synapse = synapses[ input ];
        long lag = 0;
        for ( ; *next[ input ] < begin + slice_steps; ++next[ input ] )
        {
          const long end = *next[ input ] - begin + 1;
          propagator.advance( synapse.psp, synapse.psc, 0.0, end - lag, s.data() + lag );
          synapse.psc += 1.0;
          lag = end;
        }
        propagator.advance( synapse.psp, synapse.psc, 0.0, slice_steps - lag, s.data() + lag );
        for ( long k = 0; k < slice_steps; ++k )
        {
          delta_w[ k ] = factor * ( s[ k ] * ( v - u[ k ] ) );
        }
        const double I_sum = synapse.I * decay_sum + dot( to_I_sum.data(), delta_w.data() );
        synapse.I = synapse.I * decay + dot( to_I.data(), delta_w.data() );
        synapse.sent = synapse.weight;
        synapse.weight += eta * h * I_sum;
      }
    }
  }
  const double seconds = static_cast< double >( std::clock() - start ) / CLOCKS_PER_SEC;
  std::printf( "%g %g\n", seconds / n_rules, std::sqrt( error ) );
}
