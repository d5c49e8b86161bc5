// The arithmetic of the reward-driven learning task in one loop, without NEST: what the simulation
// could cost at best. Prints milliseconds of processor time per training trial and rule.

#include "slice_propagator.h"
#include "usrl_trial_integrator.h"
#include "usrl_trial_noise.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>
#include <vector>

namespace
{

constexpr double h = 0.01;
constexpr long n_steps = 50000;
constexpr int n_inputs = 40; // those of 50 that are connected
constexpr int n_patterns = 30;
constexpr int n_trials = 500;
constexpr double E_L = -70.0;
constexpr double V_th = -55.0;
constexpr double rho = 0.01;
constexpr double delta = 0.2;

struct Spike
{
  long step;
  int input;
};

struct Arrived
{
  int input;
  std::size_t chunks;
};

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
main( int, char** argv )
{
  const int n_rules = std::atoi( argv[ 1 ] );
  std::mt19937_64 random( 1 );
  std::poisson_distribution<> count( 3.0 * n_inputs );
  std::vector< std::vector< Spike > > patterns( n_patterns );
  std::vector< double > target( n_patterns );
  for ( int pattern = 0; pattern < n_patterns; ++pattern )
  {
    for ( int spike = count( random ); spike > 0; --spike )
    {
      patterns[ pattern ].push_back( { static_cast< long >( random() % n_steps ), int( random() % n_inputs ) } );
    }
    const auto earlier = []( const Spike& a, const Spike& b ) { return a.step < b.step; };
    std::sort( patterns[ pattern ].begin(), patterns[ pattern ].end(), earlier );
    target[ pattern ] = random() % 2 ? 1.0 : -1.0;
  }
  std::normal_distribution<> initial( 0.0, 1000.0 );
  std::vector< std::vector< double > > weights( n_rules, std::vector< double >( n_inputs ) );
  for ( double& weight : weights[ 0 ] )
  {
    weight = initial( random );
  }
  std::fill( weights.begin() + 1, weights.end(), weights[ 0 ] );

  e2l::TrialIntegrator integrator;
  integrator.calibrate( { h, 2.0, 10.0, 250.0, E_L, 500.0, 0.01, 5.0, -55.0 } );
  const std::clock_t start = std::clock();
  const e2l::TrialNoise bounds( { 1, 0, 0, n_steps, V_th, delta, rho * h * 1e-3 } );
  e2l::EscapeNoise noise;
  noise.calibrate( 1, 0, 0 );
  std::vector< e2l::TrialIntegrator::Chunk > chunks;
  std::vector< Arrived > arrivals;
  std::vector< double > E( n_inputs );
  double total = 0.0;
  for ( int trial = 0; trial < n_trials; ++trial )
  {
    const int pattern = random() % n_patterns;
    for ( std::vector< double >& weight : weights )
    {
      chunks.clear();
      arrivals.clear();
      double V = 0.0;
      double I = 0.0;
      long refractory = 0;
      bool has_spiked = false;
      auto spike = patterns[ pattern ].cbegin();
      const auto last = patterns[ pattern ].cend();
      for ( long step = 0; step < n_steps; )
      {
        const long stop = spike == last ? n_steps : spike->step + 1;
        long n = std::min( stop - step, e2l::TrialIntegrator::chunk_steps );
        e2l::TrialIntegrator::Chunk chunk;
        if ( refractory > 0 )
        {
          n = std::min( n, refractory );
          refractory -= n;
          integrator.clamp( E_L, n, chunk );
          integrator.advance_current( I, n );
        }
        else
        {
          const double u_max = integrator.integrate( V, I, n, chunk );
          long lag = n;
          if ( u_max >= bounds.bound( step, step + n ) )
          {
            for ( lag = 0; lag < n; ++lag )
            {
              const double u = integrator.potential( V, I, lag );
              if ( noise.uniform( step + lag ) < rho * std::exp( ( u - V_th ) / delta ) * h * 1e-3 )
              {
                break;
              }
            }
          }
          if ( lag < n )
          {
            n = lag + 1;
            integrator.integrate( V, I, n, chunk );
            integrator.add_spike( lag, chunk );
          }
          integrator.advance( V, I, n );
          if ( n == lag + 1 )
          {
            V = 0.0;
            refractory = 200;
            has_spiked = true;
          }
        }
        chunks.push_back( chunk );
        step += n;
        for ( ; step == stop and spike != last and spike->step == step - 1; ++spike )
        {
          I += weight[ spike->input ];
          arrivals.push_back( { spike->input, chunks.size() } );
        }
      }
      const double reward = ( has_spiked ? 1.0 : -1.0 ) == target[ pattern ] ? 1.0 : -1.0;
      total += reward;
      std::fill( E.begin(), E.end(), 0.0 );
      e2l::TrialIntegrator::Adjoint adjoint( integrator );
      std::size_t chunk = chunks.size();
      for ( auto arrival = arrivals.rbegin(); arrival != arrivals.rend(); ++arrival )
      {
        while ( chunk > arrival->chunks )
        {
          adjoint.step_back( chunks[ --chunk ] );
        }
        E[ arrival->input ] += adjoint.G();
      }
      for ( int input = 0; input < n_inputs; ++input )
      {
        weight[ input ] += 10.0 * E[ input ] * ( reward - 1.0 );
      }
    }
  }
  const double seconds = static_cast< double >( std::clock() - start ) / CLOCKS_PER_SEC;
  std::printf( "%g %g\n", 1e3 * seconds / n_trials / n_rules, total / n_rules );
}
