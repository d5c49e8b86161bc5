// The arithmetic of the correlation-driven learning task in one loop, without NEST: what the
// simulation could cost at best. Prints seconds of processor time per rule and, of the last rule, the
// number of postsynaptic spikes and the mean weight.
//
// Usage: limit FILE N_RULES. FILE holds 64-bit integers: number of inputs, of steps and of steps of
// the replay, then step and input of each spike, ordered by step.

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

namespace
{

constexpr double h = 0.1;
constexpr int delay = 10;
constexpr int t_ref = 20;
constexpr double tau_m = 18.0;
constexpr double tau = 20.0;
constexpr double V_th = 20.0;
constexpr double lambda = 0.01;

struct Spike
{
  std::int64_t step;
  std::int64_t input;
};

struct Post
{
  std::int64_t step;
  double K_minus; // just after the spike
};

struct Synapse
{
  double weight = 0.5;
  double K_plus = 0.0;
  std::int64_t last = 0;
  std::size_t next_post = 0;
};

std::int64_t
read( std::FILE* const file )
{
  std::int64_t value = 0;
  if ( std::fread( &value, sizeof value, 1, file ) != 1 )
  {
    std::exit( 1 );
  }
  return value;
}

// Potential after each step, given what arrives.
double
replay( const std::vector< Spike >& spikes, const std::vector< Synapse >& synapses, const std::int64_t n_steps )
{
  const double decay = std::exp( -h / tau_m );
  std::vector< double > jumps( n_steps + 1, 0.0 );
  for ( const Spike& spike : spikes )
  {
    if ( spike.step + delay - 1 >= n_steps )
    {
      break;
    }
    jumps[ spike.step + delay - 1 ] += synapses[ spike.input ].weight;
  }
  double V = 0.0;
  double sum = 0.0;
  double sum_of_squares = 0.0;
  double peaks = 0.0;
  double peak = 0.0;
  for ( std::int64_t k = 0; k < n_steps; ++k )
  {
    V = V * decay + jumps[ k ];
    if ( k % 5000 >= 4000 )
    {
      peak = V > peak ? V : peak;
    }
    else
    {
      peaks += peak;
      peak = 0.0;
      sum += V;
      sum_of_squares += V * V;
    }
  }
  return peaks / std::sqrt( sum_of_squares - sum * sum / n_steps );
}

} // namespace

int
main( int, char** argv )
{
  std::FILE* const file = std::fopen( argv[ 1 ], "rb" );
  const std::int64_t n_inputs = read( file );
  const std::int64_t n_steps = read( file );
  const std::int64_t n_replay = read( file );
  std::vector< Spike > spikes;
  Spike spike;
  while ( std::fread( &spike, sizeof spike, 1, file ) == 1 )
  {
    spikes.push_back( spike );
  }
  std::fclose( file );

  const int n_rules = std::atoi( argv[ 2 ] );
  const double decay = std::exp( -h / tau_m );
  std::size_t n_post = 0;
  double mean_weight = 0.0;
  double checksum = 0.0;
  const std::clock_t begin = std::clock();
  for ( int rule = 0; rule < n_rules; ++rule )
  {
    const double factor = 1.0 + 0.01 * rule;
    std::vector< Synapse > synapses( n_inputs );
    std::vector< Post > post;
    double jumps[ 32 ] = {};
    double V = 0.0;
    int refractory = 0;
    auto next = spikes.begin();
    for ( std::int64_t k = 0; k < n_steps; ++k )
    {
      double& jump = jumps[ k % 32 ];
      if ( refractory > 0 )
      {
        --refractory;
      }
      else
      {
        V = V * decay + jump;
      }
      jump = 0.0;
      if ( V >= V_th )
      {
        V = 0.0;
        refractory = t_ref;
        const double before =
          post.empty() ? 0.0 : post.back().K_minus * std::exp( ( post.back().step - ( k + 1 ) ) * h / tau );
        post.push_back( { k + 1, before + 1.0 } );
      }
      for ( ; next != spikes.end() and next->step == k + 1; ++next )
      {
        Synapse& synapse = synapses[ next->input ];
        double w = synapse.weight;
        while ( synapse.next_post < post.size() and post[ synapse.next_post ].step + delay <= next->step )
        {
          const double E =
            synapse.K_plus * std::exp( ( synapse.last - ( post[ synapse.next_post ].step + delay ) ) * h / tau );
          const double norm = w + lambda * ( E - w );
          w = norm < 1.0 ? norm : 1.0;
          ++synapse.next_post;
        }
        std::size_t index = synapse.next_post;
        while ( index > 0 and post[ index - 1 ].step + delay >= next->step )
        {
          --index;
        }
        const double E = index == 0
          ? 0.0
          : post[ index - 1 ].K_minus * std::exp( ( post[ index - 1 ].step + delay - next->step ) * h / tau );
        const double norm = w - lambda * factor * ( w * E - w - E );
        synapse.weight = norm > 0.0 ? norm : 0.0;
        jumps[ ( k + delay ) % 32 ] += synapse.weight;
        synapse.K_plus = synapse.K_plus * std::exp( ( synapse.last - next->step ) * h / tau ) + 1.0;
        synapse.last = next->step;
      }
    }
    checksum += replay( spikes, synapses, n_replay );
    n_post = post.size();
    mean_weight = 0.0;
    for ( const Synapse& synapse : synapses )
    {
      mean_weight += synapse.weight / n_inputs;
    }
  }
  const double seconds = static_cast< double >( std::clock() - begin ) / CLOCKS_PER_SEC / n_rules;
  std::printf( "%.6g %zu %.9g %g\n", seconds, n_post, mean_weight, checksum );
}
