// Puts Stripe's form for a card where the page has a place for it, and sends what Stripe calls the card. Its number stays between
// the browser and Stripe.
'use strict';

// One document has one: it is what keeps the number apart from this page.
const stripe = window.Stripe?.(document.currentScript.dataset.key);

function ask(place) {
  const form = place.closest('form'), trouble = document.getElementById('card-trouble');
  const say = (words) => { trouble.textContent = words; };
  if (!stripe) return say('The form for your card did not load. Allow this page to load scripts from Stripe, and load it again.');
  // The frame knows nothing of our style, and is as clear as glass.
  const { color, fontFamily, fontSize } = getComputedStyle(place);
  const card = stripe.elements().create('card', { style: { base: { color, fontFamily, fontSize } } });
  card.mount(place);
  let asking = false;
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (asking) return;
    asking = true;
    say('');
    try {
      const { error, paymentMethod } = await stripe.createPaymentMethod({ type: 'card', card });
      if (paymentMethod) {
        form.elements.token.value = paymentMethod.id;
        form.submit();
      } else {
        say(error.message);
      }
    } catch {
      say('Stripe does not answer. Nothing was paid: try again.');
    } finally {
      asking = false;
      beReady();
    }
  });
}

/** The place comes and goes with what becomes of the order. */
function fill() {
  const place = document.querySelector('#card:empty');
  if (place) ask(place);
}

document.querySelector('[data-live]')?.addEventListener('shown', fill);
fill();
